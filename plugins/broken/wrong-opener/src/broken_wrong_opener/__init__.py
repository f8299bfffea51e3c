"""A source of numbers that wants to know whose."""

from openautoglm.data.source import Column, Description, Record, Shard
from openautoglm.errors import DataUrlError, SourceChangedError


class Numbers:
    def __init__(self, url, count):
        self.url, self.count = url, count

    def describe(self):
        column = Column(name="number", kind="integer", nullable=False)
        fingerprint = {"count": str(self.count)}
        return Description(
            url=self.url, columns=(column,), fingerprint=fingerprint, rows=self.count
        )

    def shards(self, *, rows):
        for index, start in enumerate(range(0, max(self.count, 1), rows)):
            stop = min(start + rows, self.count)
            yield Shard(index=index, start=str(start), stop=str(stop), rows=stop - start)

    def read(self, shard=None, *, resume_from=None):
        begin = resume_from if resume_from is not None else shard.start if shard else "0"
        stop = shard.stop if shard else str(self.count)
        if not begin.isdecimal() or int(begin) > self.count:
            raise SourceChangedError("no such place", got=begin, fix="read from the beginning")
        for number in range(int(begin), int(stop)):
            yield Record(key=str(number), position=str(number + 1), values={"number": number})

    def close(self):
        pass


def open_numbers(location, user):
    location.check_options()
    if not location.path.isdecimal():
        raise DataUrlError("the URL names no count", got=location.url, fix="as in NAME://5")
    return Numbers(location.url, int(location.path))
