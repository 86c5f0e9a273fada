"""Tables, targets and figures of the benchmarks, and whether what is committed is current."""

from pathlib import Path

import pandas as pd
import pytest

from experiments.bench.table import Setting, add, noted, rows
from scripts.bench import main
from scripts.read.bench import exponent, tables
from scripts.write.bench import page, targets_table
from scripts.write.markdown import with_marked

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def results(tmp_path):
    """Give a folder of results with two settings in one table."""
    path = tmp_path / "results" / "bench" / "some-processor.csv"
    for threads, time in ((1, 0.3), (2, 0.4)):
        setting = Setting(threads=threads)
        for p_fine, p_coarse in ((0.5, 0.0), (0.95, 0.0), (0.95, 0.9)):
            ours = time if p_coarse else 0.45
            seconds = {name: [1.0] for name in ("no mask", "dense mask", "published formulation")}
            seconds |= {"survivors": [ours], "forward only": [0.2]}
            memory = dict.fromkeys(seconds, 1e6) | {"survivors": 2e5, "forward only": 1e5}
            p = {"p_fine": p_fine, "p_coarse": p_coarse}
            case, kind = f"p_fine {p_fine}, p_coarse {p_coarse}", "peak of a step"
            name = "survivors/textures_1024"
            add(path, rows(name, case, seconds, "dense mask", memory, kind, **p), setting)
        for n in (10, 100, 1000):
            seconds = {"full pair matrix": [n**2 / 1e6], "sorting": [n / 1e6]}
            case = f"{n} samples"
            add(
                path,
                rows("auc_loss/squared_hinge", case, seconds, "full pair matrix", n=n),
                setting,
            )
    add(path, rows("sweep", "4 runs", {"1 process": [36.0]}, "1 process"), Setting(threads=2))
    add(path, [noted("large_image", "8192 x 8192", "dense mask", "does not fit in 8 GiB", n=8192)],
        Setting(threads=2))  # fmt: skip
    return tmp_path / "results"


def test_targets_say_what_was_met_with_which_threads(results):
    lines = targets_table(results).splitlines()
    (time,) = [x for x in lines if "p fine = 0.95, p coarse = 0.9: time" in x]
    assert time.endswith("| 0.35 | 0.30, met | 0.40, **not met** |")
    (memory,) = [x for x in lines if "p fine = 0.95, p coarse = 0: peak memory" in x]
    assert memory.endswith("| 0.25 | 0.20, met | 0.20, met |")
    assert not [x for x in lines if "bfloat16" in x]


def test_targets_that_are_not_met_say_why(results):
    def reasons():
        return [x for x in targets_table(results).splitlines() if x.startswith("* ")]

    (near,) = reasons()
    assert near.startswith(
        "* texture net, 1024 × 1024, float32, p fine = 0.95, p coarse = 0.9: near"
    )
    (path,) = tables(results)
    seconds = {"step": [1.0], "masks alone": [0.0204]}
    add(path, rows("mask_cost", "auc/digits_updates", seconds, "step"), Setting(threads=2))
    assert reasons()[0].startswith("* masks alone: the worst is the small perceptron on digits")
    assert "| 0.02 | — | 0.020, **not met** |" in targets_table(results)


def test_a_number_that_rounds_to_its_bound_has_a_further_decimal(results):
    (path,) = tables(results)
    seconds = {"dense mask": [1.0], "survivors": [0.352]}
    p = {"p_fine": 0.95, "p_coarse": 0.9}
    name = "survivors/textures_1024_bfloat16"
    add(path, rows(name, "near", seconds, "dense mask", **p), Setting())
    assert "| 0.35 | 0.352, **not met** |" in targets_table(results)


def test_pages_hold_every_comparison_with_exponents_rates_and_what_does_not_fit(results):
    text = page(results / "bench" / "some-processor.csv")
    assert "full pair matrix: n to the power 2.00; sorting: n to the power 1.00" in text
    assert "1 process: 100 runs an hour" in text
    assert "| 8192 x 8192 | dense mask | — | — | does not fit in 8 GiB |" in text
    assert "| p_fine 0.95, p_coarse 0.9 | survivors | 300 [300, 300] ms | 0.30" in text


def test_pages_figures_and_the_readme_are_written_alike_each_time(results, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- bench:begin -->\nold\n<!-- bench:end -->\n")
    written = []
    for _ in range(2):
        main(["--results", str(results), "--page", str(readme)])
        files = sorted(path for path in (results / "bench").rglob("*") if path.is_file())
        written.append([path.read_bytes() for path in files] + [readme.read_bytes()])
    assert written[0] == written[1]
    assert [path.name for path in files if path.suffix == ".png"] == [
        "some-processor_cost.png", "some-processor_growth.png"
    ]  # fmt: skip
    assert "met" in readme.read_text()


def test_exponents_are_fitted_to_the_largest_sizes():
    assert exponent([1, 2, 10, 100, 1000, 10_000], [5, 5, 1, 1e2, 1e4, 1e6]) == pytest.approx(2)


def test_a_table_of_failures_alone_makes_a_page(tmp_path):
    path = tmp_path / "results" / "bench" / "x.csv"
    add(path, [noted("survivors", "", "", "failed: its process died")], Setting())
    main(["--results", str(tmp_path / "results"), "--page", str(tmp_path / "none.md")])
    assert "its process died" in path.with_suffix(".md").read_text()


def test_the_committed_pages_are_current():
    text = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    assert text == with_marked(text, targets_table(ROOT / "results"), "bench"), "run make figures"
    for path in tables(ROOT / "results"):
        assert path.with_suffix(".md").read_text(encoding="utf-8") == page(path)
        assert pd.read_csv(path)["hardware"].notna().all()
