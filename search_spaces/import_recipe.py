"""How a dataset is imported: what others made, in which format, and from where."""

from __future__ import annotations

from pydantic import Field

from search_spaces.specification import Count, Natural, Specification, Text


class Import(Specification):
    """Data in another format, read once into the root by one of the readers of `sweep data import`."""

    format: Text = Field(description="the name of a reader, such as rlu-atari")
    source: Text = Field(description="a folder or file, or an address at gs://, s3:// or https://")
    options: dict[str, str] = Field(default={}, description="the format's own, such as env")
    shards: Text | None = Field(
        default=None, description="a glob of file names, or FIRST:LAST, counted from 0, both included"
    )
    max_transitions: Count | None = Field(default=None, description="end after so many")
    skip_bad_records: Natural = Field(default=0, description="how many records may be left out")
    checksums: Text | None = Field(
        default=None,
        description="a file that sha256sum wrote; SHA256SUMS beside the data is found without it",
    )
