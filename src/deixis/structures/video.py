"""A video file as frames that are decoded when asked for, in bounded memory (extra: video).

Opening reads the packets' times; a clip that is not too long is decoded once to see that it is
whole, and of a broken one the frames before the break are kept. Reading goes forward from the last
frame, or from the nearest key frame before the wanted one.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from deixis.errors import DataError
from deixis.extras import require
from deixis.structures.images import Frame, ImageSet, content_hash

logger = logging.getLogger("deixis.video")

RECENT = 4  # frames kept, for those who ask twice
MOST_FRAMES = 250_000  # of a file; 2.3 hours at 30 a second
CHECKED = 10**9  # pixels of all frames up to which a video is decoded once when it is opened
USUAL_RATE = 25  # frames a second where nobody says


class Video:
    """A video file; frame i is the i-th in the order of showing.

    Attributes:
        stamps: when each frame is shown, in ticks; frame numbers where the file does not say.
        keys: the frames from which decoding can start.

    Raises:
        MissingExtra: PyAV is not installed.
        DataError: the file is no video, or is broken.
    """

    def __init__(self, path: Path, name: str) -> None:
        require("av", extra="video")
        self.path = path
        self.name = name
        self._playing: Iterator[tuple[int, Any]] | None
        self._at: int  # the frame decoded last
        self._rest()
        with self._refusing():
            self._scan()
            first = self._decode(0)
        self.size = (int(first.shape[0]), int(first.shape[1]))
        with self._refusing():
            self._keep_whole()
        self._recent[0] = first

    def images(self) -> ImageSet:
        """Return all frames as one clip."""
        frames = [
            Frame(partial(self.read, i), self.size, name=self.name, key=partial(self.key, i))
            for i in range(len(self.stamps))
        ]
        return ImageSet.clip(frames, ((self.stamps - self.stamps[0]) * self.tick).tolist())

    def read(self, index: int) -> np.ndarray:
        """Return the pixels of frame ``index``, RGB uint8 (H, W, 3)."""
        with self._lock, self._refusing():
            if index not in self._recent:
                self._recent[index] = self._decode(index)
            self._recent.move_to_end(index)
            while len(self._recent) > RECENT:
                self._recent.popitem(last=False)
            return self._recent[index]

    def key(self, index: int) -> str:
        """Return a hash of the file's bytes, with the frame's index."""
        return f"{self._hash}@{index}"

    @cached_property
    def _hash(self) -> str:
        with self._refusing():
            return content_hash(self.path.read_bytes())

    def _scan(self) -> None:
        """Read when each frame is shown and which are key frames, without decoding."""
        with self._opened() as (container, stream):
            timed = container.format.name != "avi"  # AVI has no times, and PyAV's guess is wrong
            promised, rate = stream.frames, float(stream.average_rate or USUAL_RATE)
            self.tick = float(stream.time_base or 0)
            self._stored = {"width": stream.width, "height": stream.height}
            packets = []
            for packet in container.demux(stream):
                if packet.size and not packet.is_discard:
                    packets.append((packet.pts, packet.is_keyframe))
                if max(len(packets), promised) > MOST_FRAMES:
                    raise DataError(
                        f"{self.name}: expected at most {MOST_FRAMES} frames, got "
                        f"{max(len(packets), promised)} or more. Cut out the part you ask about."
                    )
        if not packets or promised > len(packets):
            raise DataError(
                f"{self.name}: expected {promised or 'some'} frames, got {len(packets)}: the "
                f"video is cut short or broken. Fetch it again."
            )
        stamps = {stamp for stamp, _ in packets}
        self._seekable = timed and None not in stamps and len(stamps) == len(packets)
        if self._seekable:
            self.stamps = np.array(sorted(stamps), dtype=np.int64)
            starts = sorted(stamp for stamp, is_key in packets if is_key)
            self.keys = np.searchsorted(self.stamps, starts)
        else:
            self.stamps, self.tick = np.arange(len(packets)), 1 / rate
            self.keys = np.zeros(1, dtype=np.int64)

    def _keep_whole(self) -> None:
        """Keep the frames before the first that cannot be decoded, and say so."""
        count = len(self.stamps)
        if count * self.size[0] * self.size[1] > CHECKED:
            return  # a break is found when it is reached
        whole = 0
        for position, _ in self._play(0):
            if position != whole:
                break
            whole += 1
        if 0 < whole < count:
            logger.warning(
                "%s: expected %d frames, got a video that is broken at %.2f s. The %d frames "
                "before are kept; fetch it again for the rest.",
                *(self.name, count, (self.stamps[whole] - self.stamps[0]) * self.tick, whole),
            )
            self.stamps, self.keys = self.stamps[:whole], self.keys[self.keys < whole]

    def _decode(self, index: int) -> np.ndarray:
        """Return the pixels of a frame, going on from where decoding stands if that is best."""
        before = self.keys[: np.searchsorted(self.keys, index, side="right")]
        start = int(before[-1]) if before.size else 0
        playing = self._playing
        if playing is None or not start - 1 <= self._at < index:
            playing = self._play(start)
        for attempt in (playing, self._play(0)):  # some files call frames key frames that are none
            self._playing = attempt
            for position, frame in attempt:
                self._at = position
                if position == index:
                    pixels = frame.to_ndarray(format="rgb24", **self._stored)
                    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))
                if position > index:
                    break
        raise DataError(
            f"{self.name}: expected a frame at {self.stamps[index] * self.tick:.2f} s, got none: "
            f"the video is broken there. Fetch it again."
        )

    def _play(self, start: int) -> Iterator[tuple[int, Any]]:
        """Yield decoded frames, each with its index, from the key frame ``start`` on; up to a
        packet that cannot be decoded."""
        with self._opened() as (container, stream):
            if start:
                container.seek(int(self.stamps[start]), stream=stream)
            for count, frame in enumerate(_decoded(container, stream)):
                known = np.searchsorted(self.stamps, frame.pts) if self._seekable else count
                yield int(known), frame

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        import av

        with av.open(str(self.path), metadata_errors="replace") as container:
            streams = [s for s in container.streams.video if s.codec_context]
            if not streams:
                raise DataError(f"{self.name}: expected a video, got a file without pictures.")
            yield container, streams[0]

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        import av

        try:
            yield
        except (FileNotFoundError, PermissionError) as error:
            raise DataError(f"{self.name}: expected a file that can be read, got none.") from error
        except DataError:
            raise
        except EOFError as error:
            raise DataError(
                f"{self.name}: expected some frames, got 0: the video is cut short or empty. "
                f"Fetch it again."
            ) from error
        except (av.FFmpegError, ValueError, MemoryError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(
                f"{self.name}: expected a video, got a file that cannot be read as one "
                f"({reason}). Check that the file is what its name says."
            ) from error

    def _rest(self) -> None:
        """Hold nothing open."""
        self._playing = None
        self._at = 0
        self._recent: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        resting = {"_playing", "_recent", "_lock", "_at"}
        return {name: value for name, value in self.__dict__.items() if name not in resting}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._rest()


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Yield frames up to a broken packet, those among them that the decoder still holds."""
    import av

    try:
        for packet in container.demux(stream):
            yield from packet.decode()
    except av.InvalidDataError:
        try:
            yield from stream.codec_context.decode(None)
        except (av.InvalidDataError, EOFError):
            return
