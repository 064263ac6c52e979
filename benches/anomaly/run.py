#!/usr/bin/env python3
"""Our isolation forest beside scikit-learn's, on labelled data.

    run.py FOLDER                 every .npz (arrays X and y, as ADBench has them) and .csv (label in the last column) of it
    run.py --make FOLDER          makes such sets of what scikit-learn brings along, without network
    run.py FOLDER --extensions 0,1,2 --json result.json
    run.py --from result.json     prints the tables again

A label is 1 for what is unusual, 0 otherwise; nobody shows it to a forest. Needs numpy and scikit-learn from PyPI.
"""

import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

import numpy
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, nargs="?")
    parser.add_argument("--make", action="store_true", help="fill the folder, measure nothing")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--extensions", default="0", help="of our forest, separated by commas; the first is compared set by set")
    parser.add_argument("--columns", type=int, default=2047, help="leave wider sets out")
    parser.add_argument("--bench", type=pathlib.Path, help="the built benchmark, instead of building it")
    parser.add_argument("--from", dest="measured", type=pathlib.Path, help="what --json wrote; measures nothing")
    parser.add_argument("--json", type=pathlib.Path, help="everything measured")
    options = parser.parse_args()
    if options.measured:
        return report(json.loads(options.measured.read_text()))
    if options.folder is None:
        parser.error("a folder is needed")
    if options.make:
        return make(options.folder)
    bench = options.bench or build()
    extensions = [int(word) for word in options.extensions.split(",")]
    results = {}
    for file in sorted(options.folder.iterdir(), key=order):
        if file.suffix not in (".npz", ".csv"):
            continue
        rows, labels = load(file)
        if rows.shape[1] > options.columns or len(set(labels)) < 2:
            print(f"{file.stem}: left out", file=sys.stderr)
            continue
        result = {"rows": len(rows), "columns": rows.shape[1], "unusual": float(labels.mean())}
        result["scikit-learn"] = theirs(rows, labels, options.seeds)
        for extension in extensions:
            result[f"extension {extension}"] = ours(bench, rows, labels, options.seeds, extension)
        results[file.stem] = result
        print(file.stem, {name: round(numpy.mean(of["auc"]), 4) for name, of in result.items() if isinstance(of, dict)},
              file=sys.stderr)
    if not results:
        sys.exit("no sets found")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    report(results)


def order(file):
    """12_fault before 101_x."""
    number, _, name = file.stem.partition("_")
    return (int(number), name) if number.isdigit() else (0, file.stem)


def load(file):
    if file.suffix == ".npz":
        with numpy.load(file, allow_pickle=False) as arrays:
            rows, labels = arrays["X"], arrays["y"]
    else:
        with file.open() as lines:
            header = any(not is_number(word) for word in lines.readline().split(","))
        table = numpy.genfromtxt(file, delimiter=",", skip_header=int(header), ndmin=2)
        rows, labels = table[:, :-1], table[:, -1]
    return numpy.ascontiguousarray(rows, dtype=numpy.float32), labels.astype(int).ravel()


def is_number(word):
    try:
        float(word or "nan")
    except ValueError:
        return False
    return True


def build():
    command = ["cargo", "bench", "--locked", "--bench", "anomaly", "--no-run", "--message-format", "json"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    built = [json.loads(line) for line in lines if line.startswith("{")]
    return next(one["executable"] for one in built if one.get("executable") and one["target"]["name"] == "anomaly")


def ours(bench, rows, labels, seeds, extension):
    with tempfile.TemporaryDirectory() as folder:
        matrix, scores = pathlib.Path(folder, "matrix"), pathlib.Path(folder, "scores")
        with matrix.open("wb") as file:
            file.write(struct.pack("<II", *rows.shape))
            file.write(rows.astype("<f4").tobytes())
        command = [bench, "score", matrix, scores, str(seeds), str(extension)]
        times = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        scores = numpy.fromfile(scores, dtype="<f4").reshape(seeds, len(rows))
    return quality(labels, scores) | times


def theirs(rows, labels, seeds):
    """A batch is all rows, but at most 20,000. Times are the least of all repeats, as ours are."""
    scores, grow, row = [], [], []
    rows = numpy.nan_to_num(rows, nan=numpy.nan, posinf=numpy.nan, neginf=numpy.nan)
    for seed in range(seeds):
        started = time.perf_counter()
        forest = IsolationForest(n_estimators=100, max_samples=min(256, len(rows)), random_state=seed).fit(rows)
        grow.append(time.perf_counter() - started)
        batch = rows[:20_000]
        for _ in range(3):
            started = time.perf_counter()
            forest.score_samples(batch)
            row.append((time.perf_counter() - started) / len(batch))
        scores.append(-forest.score_samples(rows))
    alone = []
    for at in range(min(20, len(rows))):
        started = time.perf_counter()
        forest.score_samples(rows[at:at + 1])
        alone.append(time.perf_counter() - started)
    return quality(labels, scores) | {"grow_ms": min(grow) * 1e3, "row_us": min(row) * 1e6, "alone_us": min(alone) * 1e6}


def quality(labels, scores):
    """Equal scores count half in the AUC, and are one step of the average precision."""
    return {
        "auc": [roc_auc_score(labels, of) for of in scores],
        "precision": [average_precision_score(labels, of) for of in scores],
    }


def report(results):
    forests = [name for name, of in next(iter(results.values())).items() if isinstance(of, dict)]
    first = forests[1]
    seeds = len(next(iter(results.values()))[first]["auc"])
    print(f"| set | rows × columns | unusual | AUC: ours | scikit-learn | its {seeds} seeds | ours is | AP: ours | scikit-learn | "
          "grow, ms: ours | scikit-learn | row alone, µs: ours | in batch: scikit-learn |")
    print("|---|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|")
    places = {"above": 0, "within": 0, "below": 0}
    for name, result in results.items():
        mine, other = result[first], result["scikit-learn"]
        mean, low, high = numpy.mean(mine["auc"]), min(other["auc"]), max(other["auc"])
        place = "above" if mean > high else "below" if mean < low else "within"
        places[place] += 1
        print(f"| {name} | {result['rows']:,} × {result['columns']} | {result['unusual']:.1%} | {spread(mine['auc'])} | {spread(other['auc'])} "
              f"| {low:.3f} to {high:.3f} | {place} | {numpy.mean(mine['precision']):.3f} | {numpy.mean(other['precision']):.3f} "
              f"| {mine['grow_ms']:.0f} | {other['grow_ms']:.0f} | {mine['row_us']:.2f} | {other['row_us']:.2f} |")
    print()
    print(f"{len(results)} sets: our mean is within scikit-learn's seeds in {places['within']}, above in {places['above']}, below in {places['below']}.")
    print()
    print("| forest | mean AUC | less scikit-learn's | sets better | sets better by 0.02 | mean AP | row, µs |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    base = table(results, "scikit-learn", "auc")
    for name in forests:
        auc = table(results, name, "auc")
        difference = auc.mean(axis=1) - base.mean(axis=1)
        # By chance alone: of the mean over sets, each with its own spread over seeds.
        error = numpy.sqrt(((auc.var(axis=1, ddof=1) + base.var(axis=1, ddof=1)) / seeds).sum()) / len(results) if seeds > 1 else 0
        row = numpy.median([result[name]["row_us"] for result in results.values()])
        print(f"| {name} | {auc.mean():.4f} | " + (f"{difference.mean():+.4f} ± {error:.4f}" if name != forests[0] else "") +
              f" | {(difference > 0).sum()} | {(difference > 0.02).sum()} | {table(results, name, 'precision').mean():.4f} | {row:.2f} |")
    alone = min(result["scikit-learn"]["alone_us"] for result in results.values())
    slower = [name for name, result in results.items() if result[first]["row_us"] > result["scikit-learn"]["row_us"]]
    print()
    print(f"Slower alone than scikit-learn in batch: {', '.join(slower) or 'none'}. A row alone costs scikit-learn {alone:.0f} µs at least.")


def table(results, name, what):
    """Sets by seeds."""
    return numpy.array([result[name][what] for result in results.values()])


def spread(values):
    return f"{numpy.mean(values):.3f} ± {numpy.std(values, ddof=1) if len(values) > 1 else 0:.3f}"


def make(folder):
    """One class made rare, or all that are not one class taken for usual: as the sets of ODDS were made."""
    from sklearn import datasets

    folder.mkdir(parents=True, exist_ok=True)
    chance = numpy.random.default_rng(0)

    def keep(name, rows, rare, count):
        unusual = numpy.flatnonzero(rare)
        chosen = numpy.sort(numpy.concatenate([numpy.flatnonzero(~rare), chance.choice(unusual, min(count, len(unusual)), replace=False)]))
        numpy.savez_compressed(folder / f"{name}.npz", X=rows[chosen], y=rare[chosen].astype(int))

    rows, labels = datasets.load_breast_cancer(return_X_y=True)
    keep("breast-cancer", rows, labels == 0, 20)
    rows, labels = datasets.load_wine(return_X_y=True)
    for label in range(3):
        keep(f"wine-{label}", rows, labels == label, 10)
    rows, labels = datasets.load_iris(return_X_y=True)
    for label in range(3):
        keep(f"iris-{label}", rows, labels == label, 8)
    rows, labels = datasets.load_digits(return_X_y=True)
    for label in range(10):
        keep(f"digits-{label}", rows, labels == label, 30)


if __name__ == "__main__":
    main()
