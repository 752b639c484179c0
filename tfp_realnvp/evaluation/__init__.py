"""How good a distribution is: bits per dimension of images, labels recognized, pictures drawn."""

from tfp_realnvp.evaluation.bits import BATCH, accuracy, score
from tfp_realnvp.evaluation.classifier import Classifier, check_classes
from tfp_realnvp.evaluation.pictures import density_and_coverage, frechet_distance, score_pictures

__all__ = [
    "BATCH",
    "Classifier",
    "accuracy",
    "check_classes",
    "density_and_coverage",
    "frechet_distance",
    "score",
    "score_pictures",
]
