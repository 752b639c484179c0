"""From images per second to ratios: how many times as fast one library is as another. Above 1: it is faster."""

from libraries import PEERS

IN_BFLOAT16 = "ours bfloat16 vs best peer bfloat16"


def ratios(rows: dict, default: str, library: str = "ours") -> dict:
    """The ratios of docs/speed.md: a library's median speed over that of others.

    Args:
      rows: of the dense flow, as `compare.measure` returns them.
      default: the default precision of this machine.
      library: the one in the numerator.

    Returns:
      The ratios by name, as far as both speeds were measured.
    """

    def rate(library, job, precision="float32"):
        row = rows.get(f"{library} {precision}")
        return row and row[job]["median"]

    def best(job):
        return max((rate(peer, job) for peer in PEERS if rate(peer, job)), default=None)

    def ratio(job, precision, other):
        own = rate(library, job, precision)
        return own / other if own and other else None

    found = {
        "train_512_default_vs_peer": ratio("train_512", default, best("train_512")),
        "train_128_float32_vs_peer": ratio("train_128", "float32", best("train_128")),
        "train_128_default_vs_tfp": ratio("train_128", default, rate("tfp", "train_128")),
        "log_prob_float32_vs_peer": ratio("log_prob", "float32", best("log_prob")),
        "sample_float32_vs_peer": ratio("sample", "float32", best("sample")),
        "log_prob_mixed_vs_peer": ratio("log_prob", default, best("log_prob")),
        "sample_mixed_vs_peer": ratio("sample", default, best("sample")),
    }
    if library == "ours":
        found |= {
            "fit_vs_bare": ratio("train_512", default, rate("bare", "train_512", default)),
            "log_prob_vs_bare": ratio("log_prob", "float32", rate("bare", "log_prob")),
            "sample_vs_bare": ratio("sample", "float32", rate("bare", "sample")),
            "fit_vs_command": ratio("train_512", default, rate("command", "train_512", default)),
        }
    return {key: value for key, value in found.items() if value}


def ratios_by_peer(rows: dict, jobs) -> dict:
    """For each job, our speed in each precision over each row of the others, and over their fastest ones."""
    peers = {name: row for name, row in rows.items() if row["library"] in PEERS}
    ours = [row for row in rows.values() if row["library"] == "ours"]
    found = {}
    for job in jobs:
        others = {name: row[job]["median"] for name, row in peers.items()}
        for precision in sorted({row["precision"] for row in peers.values()}, reverse=True):
            others[f"best peer {precision}"] = max(
                row[job]["median"] for row in peers.values() if row["precision"] == precision
            )
        found[job] = {
            f"ours {row['precision']} vs {name}": row[job]["median"] / rate
            for row in ours
            for name, rate in others.items()
        }
    return found


def ratios_of_splines(splines: dict, affine: dict, jobs) -> dict:
    """What splines cost, and our speed with them over that of the fastest other library, by precision and job.

    Args:
      splines: rows of the flow with spline couplings, as `compare.measure` returns them.
      affine: those of the same flow with affine couplings.
      jobs: names of the jobs.

    Returns:
      `{precision: {job: {"times_affine": time over that with affine couplings, "vs_peer": speed}}}`, the second
      one as far as another library was measured in this precision.
    """
    found: dict = {}
    for name, row in splines.items():
        if row["library"] != "ours" or name not in affine:
            continue
        for job in jobs:
            own = row[job]["median"]
            cell = found.setdefault(row["precision"], {}).setdefault(job, {})
            cell["times_affine"] = affine[name][job]["median"] / own
            others = [
                other[job]["median"]
                for other in splines.values()
                if other["library"] in PEERS and other["precision"] == row["precision"]
            ]
            if others:
                cell["vs_peer"] = own / max(others)
    return found


def print_ratios(results: dict):
    """The ratios as lists in Markdown."""
    print("\nOur speed over another's (above 1: we are faster):\n")
    for name, value in results["ratios"].items():
        limit = results["ratios_at_the_limit"].get(name)
        print(f"- {name}: {value:.2f}" + (f" (the limit: {limit:.2f})" if limit else ""))
    lines = [
        f"- {job}: {values[IN_BFLOAT16]:.2f}"
        for job, values in results["ratios_by_peer"].items()
        if IN_BFLOAT16 in values
    ]
    if lines:
        print("\nOur speed over the fastest other's, both in bfloat16:\n")
        print("\n".join(lines))
    if results["ratios_of_splines"]:
        print(
            "\nOurs with splines: time over that with affine couplings, speed over the fastest other's:\n"
        )
    for precision, jobs in results["ratios_of_splines"].items():
        for job, cell in jobs.items():
            peer = f", {cell['vs_peer']:.2f}" if "vs_peer" in cell else ""
            print(f"- {precision}, {job}: {cell['times_affine']:.2f}{peer}")
