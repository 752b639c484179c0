"""How good a distribution is: bits per dimension of images, labels recognized, pictures drawn."""

from tfp_realnvp.evaluation.bits import BATCH, accuracy, score
from tfp_realnvp.evaluation.classes import score_classes
from tfp_realnvp.evaluation.classifier import Classifier, check_classes
from tfp_realnvp.evaluation.judge import Judge
from tfp_realnvp.evaluation.memorization import copying, distances_to_nearest
from tfp_realnvp.evaluation.pictures import density_and_coverage, frechet_distance, score_pictures
from tfp_realnvp.evaluation.usefulness import recall_after_learning

__all__ = [
    "BATCH",
    "Classifier",
    "Judge",
    "accuracy",
    "check_classes",
    "copying",
    "density_and_coverage",
    "distances_to_nearest",
    "frechet_distance",
    "recall_after_learning",
    "score",
    "score_classes",
    "score_pictures",
]
