"""The chapter of the neighbours: arms beside masks, what they cost, error against width."""

import pytest

from experiments.plan import plan
from experiments.tables import flatten
from scripts.comparison import compare
from scripts.costs import read_costs
from scripts.neighbours import (
    SECTIONS,
    against_width,
    benchmark,
    dropout_beside,
    high_conductance,
)
from scripts.section_text import comparison_table
from scripts.sections import Section
from tests.test_scripts_arms import mask, write_runs

TREATMENTS = ("masks", "regulariser")
PAPER = {
    "regulariser._target_": "backdrop.ChannelDropBack",
    "regulariser.form": "paper",
    "regulariser.fraction": 0.7,
}
CODE = {
    "regulariser._target_": "backdrop.ChannelDropBack",
    "regulariser.form": "code",
    "regulariser.rate_layer._target_": "backdrop.channel_dropback.code_schedule",
}


def dropout(p):
    masks = ("masks.first_dropout", "masks.second_dropout")
    return {
        key: value
        for mask in masks
        for key, value in ((f"{mask}._target_", "torch.nn.Dropout"), (f"{mask}.p", p))
    }


def compared(tmp_path, arms, costs=(), **options):
    runs = write_runs(tmp_path, arms)
    section = Section("x", "X", "What?", treatments=TREATMENTS, **options)
    return compare(section, runs, runs.assign(epoch=1), costs)


def test_masks_and_regularisers_are_compared_with_neither(tmp_path):
    result = compared(tmp_path, [{}, mask("fine", 0.5), dropout(0.3), PAPER, CODE])
    assert {one.baseline_label for one in result.comparisons} == {"no masks"}
    assert {one.arm.label for one in result.comparisons} == {
        "no masks",
        "fine 0.5",
        "first dropout 0.3, second dropout 0.3",
        "ChannelDropBack, fraction 0.7",
        "ChannelDropBack, as in its authors' code",
    }


def costs_table(tmp_path, *rows, hardware="xeon"):
    columns = "comparison,variant,device,threads,relative,relative_low,relative_high,memory_bytes"
    (tmp_path / "bench").mkdir(exist_ok=True)
    (tmp_path / "bench" / f"{hardware}.csv").write_text("\n".join([columns, *rows]) + "\n")
    return tmp_path / "bench"


def cost_columns(result):
    header, _, *rows = (line.split(" | ") for line in comparison_table(result).splitlines())
    places = [header.index(name) for name in ("step time relative to none", "extra memory")]
    return [[row[place] for place in places] for row in rows]


def test_the_table_tells_what_a_step_costs_where_that_was_measured(tmp_path):
    folder = costs_table(
        tmp_path,
        "x,none,cpu,1,1,1,1,1048576",
        "x,dropout,cpu,1,1.251,1.2,1.3,3145728",
        "y,channel_dropback,cpu,1,9,9,9,9",
    )
    found = compared(
        tmp_path, [{}, dropout(0.3), PAPER], benchmark=benchmark, costs=read_costs(folder)
    )
    assert sorted(cost_columns(found)) == [
        ["", ""],
        ["1.25 [1.20, 1.30]", "+2 MiB"],
        ["not measured", "not measured"],
    ]


def test_hardware_and_threads_are_named_where_there_are_several(tmp_path):
    costs_table(tmp_path, "x,none,cpu,1,1,1,1,", "x,dropout,cpu,1,1.5,1.4,1.6,", hardware="a")
    rows = [f"x,{arm},cpu,{n},2,2,2,0" for n in (1, 2) for arm in ("none", "dropout")]
    folder = costs_table(tmp_path, *rows, hardware="b")
    found = compared(tmp_path, [{}, dropout(0.3)], benchmark=benchmark, costs=read_costs(folder))
    assert cost_columns(found)[1] == [
        "1.50 [1.40, 1.60] (a); 2.00 [2.00, 2.00] (b, 1 thread); 2.00 [2.00, 2.00] (b, 2 threads)",
        "0 MiB (b, 1 thread); 0 MiB (b, 2 threads)",
    ]


def test_the_only_hardware_goes_unnamed(tmp_path):
    rows = [f"x,{arm},cpu,{n},2,2,2,0" for n in (1, 2) for arm in ("none", "dropout")]
    found = read_costs(costs_table(tmp_path, *rows))
    assert {cost.where for cost in found} == {"1 thread", "2 threads"}


def test_a_table_of_costs_without_a_column_is_refused(tmp_path):
    (tmp_path / "xeon.csv").write_text("comparison,variant,device,threads,relative\n")
    with pytest.raises(ValueError, match=r"xeon.csv lacks .* relative_low, .*memory_bytes"):
        read_costs(tmp_path)


@pytest.mark.parametrize("name", ["textures", "cifar", "mlp_letter"])
def test_an_arm_is_known_to_benchmarks_by_its_name_in_the_configuration(name):
    for job in plan([f"neighbours/{name}"]):
        comparison, arm = benchmark(f"neighbours/{name}", flatten(job.settings))
        assert arm == job.places[0].kind
        width = f"/{job.settings['model']['widths'][0]}" if name == "mlp_letter" else ""
        assert comparison == f"neighbours/{name}{width}"


def test_the_error_is_drawn_against_the_width_with_a_line_for_each_method(tmp_path):
    arms = [
        {"model.widths": [width, width], **treatment}
        for width in (64, 256)
        for treatment in ({}, dropout(0.1 if width == 64 else 0.5))
    ]
    (plan,) = against_width(compared(tmp_path, arms))
    axes = plan.draw().axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["no masks", "Dropout"]
    assert axes.get_xticks().tolist() == [64, 256]
    (tmp_path / "one").mkdir()
    assert against_width(compared(tmp_path / "one", arms[:2])) == []


def test_y_drop_is_compared_with_dropout_in_the_same_net(tmp_path):
    ydrop = {"regulariser._target_": "backdrop.YDrop", "regulariser.strength": 0.5}
    arms = [
        {"model.widths": [width, width], **treatment}
        for width in (64, 256)
        for treatment in ({}, dropout(0.1 if width == 64 else 0.5), ydrop)
    ]
    rivals = {"dropout": dropout_beside}
    labels = [
        (one.arm.label, one.arm.settings["model.widths"], one.baseline_label)
        for one in compared(tmp_path, arms, rivals=rivals).rivals
    ]
    assert sorted(labels) == [
        ("Y-Drop", (64, 64), "first dropout 0.1, second dropout 0.1"),
        ("Y-Drop", (256, 256), "first dropout 0.5, second dropout 0.5"),
    ]


def test_the_share_of_high_conductance_is_drawn_for_each_layer_against_its_width(tmp_path):
    arms = [
        {"model.widths": [width, width], **treatment}
        for width in (64, 256)
        for treatment in ({}, dropout(0.3))
    ]
    runs = write_runs(tmp_path, arms)
    section = Section("x", "X", "What?", treatments=TREATMENTS)
    assert high_conductance(compare(section, runs, runs.assign(epoch=1))) == []
    shares = {f"measured.conductance.hidden.{layer}": 0.1 + layer / 2 for layer in (0, 1)}
    runs = runs.assign(**shares, epoch=1)
    (plan,) = high_conductance(compare(section, runs, runs))
    first, second = plan.draw().axes
    assert (first.get_title(), second.get_title()) == ("hidden.0", "hidden.1")
    assert [line.get_ydata().tolist() for line in second.lines] == [[0.6, 0.6]] * 2
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["no masks", "Dropout"]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.slug)
def test_sections_compare_masks_and_regularisers(section):
    assert section.treatments == TREATMENTS
    assert not section.tests_claim
