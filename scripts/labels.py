"""Name arms and settings in words that a reader of a table understands."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from scripts.results_table import ABSENT

Settings = dict[str, Any]

GROUPS = ("masks", "regulariser", "augmentation", "model", "optimizer", "loss", "dataset")
MASKS = ("samples", "fine", "middle", "coarse")
FIRST_FIELDS = ("_target_", "p", "size", "lr", "dims")
OFF = {"masks": "no masks", "augmentation": "whole images"}
CLASSES = {
    "RandomCrop": "random crops",
    "YDrop": "Y-Drop",
    "code_schedule": "as in its authors' code",
}
ALWAYS_SHOWN = {"RandomCrop": "size", "ChannelDropBack": "fraction"}
WORDS = {
    "augmentation.size": "{} px",
    "backward": "{} backward pass",
    "dataset.positive_fraction": "{} positive",
    "dataset.size": "{} px",
    "dataset.train": "{} images",
    "dataset.train_per_class": "{} images a class",
    "model.norm": "{} norm",
    "optimizer.lr": "learning rate {}",
}
SHARES = {"dataset.positive_fraction"}
"""Keys whose values are written as percentages."""

ADAM_BETAS = (0.9, 0.999)
"""What torch's Adam takes where nothing is said."""

DIMS = {
    "spatial": "shared over the batch",
    "sample+spatial": "",
    "sample": "whole samples",
}


def in_order(keys: Iterable[str]) -> list[str]:
    """Sort keys as a reader looks for them: masks first, the fine one before the coarse one."""
    return sorted(keys, key=_order)


def groups_of(keys: Iterable[str]) -> list[str]:
    """List the first parts of the keys, each once."""
    return list(dict.fromkeys(key.split(".")[0] for key in keys))


def masks_of(settings: Settings) -> dict[str, Settings]:
    """Give the fields of each mask by the mask's name, in the order of the scales."""
    masks: dict[str, Settings] = {}
    for key in in_order(key for key in settings if key.startswith("masks.")):
        _, name, *field = key.split(".")
        masks.setdefault(name, {})[".".join(field)] = settings[key]
    return masks


def treatment_labels(arms: Sequence[Settings], treated: Sequence[str]) -> list[str]:
    """Label each arm by its masks and by every other group under test.

    That there are no masks goes without saying where there is a regulariser.

    >>> treatment_labels([{}, {"masks.fine.p": 0.5, "masks.coarse.p": 0.9}], ["masks.fine.p"])
    ['no masks', 'fine 0.5, coarse 0.9']
    """
    masks = mask_labels([masks_of(arm) for arm in arms])
    others = [group for group in groups_of(treated) if group != "masks"]
    columns = [
        setting_labels(arms, [key for key in treated if key.split(".")[0] == group])
        for group in others
    ]
    words = [
        [text or OFF.get(group, "") for text in column]
        for group, column in zip(others, columns, strict=True)
    ]
    if "regulariser" in others:
        pairs = zip(masks, columns[others.index("regulariser")], strict=True)
        masks = ["" if mask == OFF["masks"] and other else mask for mask, other in pairs]
    return [", ".join(filter(None, parts)) for parts in zip(masks, *words, strict=True)]


def mask_labels(arms: Sequence[dict[str, Settings]], off: str = OFF["masks"]) -> list[str]:
    """Label the masks of each arm by name and p, and by the other fields in which masks differ."""
    by_name: dict[str, list[Settings]] = {}
    for arm in arms:
        for name, fields in arm.items():
            by_name.setdefault(name, []).append(fields)
    differing = {name: _splitting(rows, skip=("p",)) for name, rows in by_name.items()}
    return [_mask_label(arm, differing) or off for arm in arms]


def setting_labels(arms: Sequence[Settings], keys: Sequence[str]) -> list[str]:
    """Label each arm by as few of ``keys`` as tell the arms apart, the important ones first."""
    shown = _splitting([{key: arm[key] for key in keys if key in arm} for arm in arms])
    return [_setting_label(arm, shown) for arm in arms]


def net_name(settings: Settings) -> str:
    """Name the model, with its kind of normalisation where it has one.

    >>> net_name({"model._target_": "backdrop.models.AllConvNet", "model.batch_norm": True})
    'AllConvNet (batch norm)'
    """
    model = class_name(settings.get("model._target_", "unknown model"))
    norm = settings.get("model.norm", "batch" if settings.get("model.batch_norm") else None)
    return f"{model} ({norm} norm)" if norm else model


def optimizer_name(settings: Settings) -> str:
    """Name the optimizer, with an Adam's betas where they are not torch's own.

    >>> optimizer_name({"optimizer._target_": "torch.optim.Adam", "optimizer.betas": (0.9, 0.95)})
    'Adam (betas 0.9, 0.95)'
    """
    name = class_name(settings.get("optimizer._target_", "unknown optimizer"))
    betas = settings.get("optimizer.betas", ADAM_BETAS)
    return name if betas == ADAM_BETAS else f"{name} (betas {', '.join(map(in_words, betas))})"


def class_name(target: str) -> str:
    """Give the last part of a dotted path, or the words that stand for it."""
    name = target.rsplit(".", 1)[-1]
    return CLASSES.get(name, name)


def in_words(value: Any) -> str:
    """Write a setting's value.

    >>> in_words(0.001), in_words((9.5, 10.0)), in_words(None)
    ('0.001', '[9.5, 10]', 'none')
    """
    if value is ABSENT or value is None:
        return "none"
    if isinstance(value, tuple):
        return f"[{', '.join(in_words(item) for item in value)}]"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def setting_in_words(key: str, value: Any) -> str:
    """Write one setting with its name, as ``learning rate 0.01``."""
    if key.endswith("_target_"):
        return class_name(value)
    field = key.rsplit(".", 1)[-1]
    if field == "dims" and value in DIMS:
        return DIMS[value]
    text = f"{100 * value:g} %" if key in SHARES else in_words(value)
    return WORDS.get(key, field.replace("_", " ") + " {}").format(text)


def key_in_words(key: str) -> str:
    """Name a setting without a value, as ``learning rate``.

    >>> key_in_words("optimizer.lr"), key_in_words("batch_size")
    ('learning rate', 'batch size')
    """
    field = key.rsplit(".", 1)[-1].replace("_", " ")
    return WORDS.get(key, field).replace("{}", "").strip()


def _order(key: str) -> tuple[int, int, int, str]:
    group, *rest = key.split(".")
    is_mask = group == "masks" and bool(rest)
    scale = _place(rest[0], MASKS) if is_mask else 0
    last = _place(key.rsplit(".", 1)[-1], ("p", *FIRST_FIELDS) if is_mask else FIRST_FIELDS)
    return (_place(group, GROUPS), scale, last, key)


def _place(item: str, sequence: Sequence[str]) -> int:
    return sequence.index(item) if item in sequence else len(sequence)


def _splitting(rows: Sequence[Settings], skip: Sequence[str] = ()) -> list[str]:
    """Pick keys, in order, each of which tells apart rows that the earlier ones do not."""
    shown: list[str] = []
    for key in in_order({key for row in rows for key in row} - set(skip)):
        if _classes(rows, [*shown, key]) > _classes(rows, shown):
            shown.append(key)
    return shown


def _classes(rows: Sequence[Settings], keys: Sequence[str]) -> int:
    return len({tuple(row.get(key, ABSENT) for key in keys) for row in rows})


def _mask_label(masks: dict[str, Settings], differing: dict[str, list[str]]) -> str:
    names = [_mask_name(name, fields) for name, fields in masks.items()]
    details = [_details(fields, differing[name]) for name, fields in masks.items()]
    if len(set(details)) == 1:
        return ", ".join([*names, *filter(None, details[:1])])
    parts = [f"{n} ({d})" if d else n for n, d in zip(names, details, strict=True)]
    return ", ".join(parts)


def _mask_name(name: str, fields: Settings) -> str:
    name = name.replace("_", " ")
    if "p" in fields:
        return f"{name} {in_words(fields['p'])}"
    return name


def _details(fields: Settings, shown: Sequence[str]) -> str:
    words = [setting_in_words(key, fields[key]) for key in shown if key in fields]
    return ", ".join(filter(None, words))


def _setting_label(arm: Settings, shown: Sequence[str]) -> str:
    keys = [key for key in shown if key in arm]
    for key in tuple(keys):
        always = ALWAYS_SHOWN.get(str(arm[key]).rsplit(".", 1)[-1])
        if always and key.endswith("_target_"):
            keys.append(key.removesuffix("_target_") + always)
    words = [setting_in_words(key, arm[key]) for key in dict.fromkeys(keys) if key in arm]
    return ", ".join(filter(None, words))


def joined_tasks(tasks: Iterable[str]) -> str:
    """Join what must be said of several arms; what all of them share is said once, at the end.

    >>> joined_tasks(["10 positives, small images", "20 positives, small images", ""])
    '10 positives; 20 positives; small images'
    """
    parts = [task.split(", ") for task in dict.fromkeys(tasks) if task]
    shared = [part for part in chain(*parts[:1]) if all(part in each for each in parts)]
    own = [", ".join(part for part in each if part not in shared) for each in parts]
    return "; ".join(filter(None, [*own, ", ".join(shared)]))
