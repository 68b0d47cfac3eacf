"""Where the sweep came from."""

from sweep.report.context import Context
from sweep.report.page import Block, Details, Facts, Paragraph, Section
from sweep.report.provenance import provenance


def origin(context: Context) -> Section:
    """The record that `sweep run` keeps: facts, then long texts folded away."""
    found = provenance(context.data.record)
    blocks: list[Block] = []
    if found.facts:
        blocks.append(Facts((("", found.facts),)))
    blocks += [Details(words, text) for words, text in found.texts]
    if not blocks:
        blocks.append(Paragraph("The store has no record of this sweep's origin yet."))
    return Section("provenance", "Provenance", tuple(blocks))
