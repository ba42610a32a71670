"""A network as the arrays that the compiled loop runs on: their layout, and the weights and biases in them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.engine.input_current import convolve_images
from spikesim.engine.neurons import MODELS, NEURONS
from spikesim.engine.plan import KIND_CONV, KIND_DENSE, KIND_SPARSE, POOLS, POPULATION, TABLE, Plan
from spikesim.engine.populations import NO_REACH, Connection, Population, Reach
from spikesim.engine.simd.compress import SLACK
from spikesim.engine.simd.dot_products import UNIT, ZEROS
from spikesim.engine.synapses import Conv, Dense, Lookup, Sparse, in_blocks, pooled
from spikesim.errors import InputError
from spikesim.jit.aligned import aligned_zeros
from spikesim.numerics.fixed_point import INPUT_BITS, ONE, ONE_BITS, SHARE_LIMIT, quantize_drive, shift_rounding
from spikesim.numerics.quantization import quantize_weights

TABLE_BYTES_IN_CACHE = 200_000
"""Tables of a block of channels below this stay in a core's second-level cache beside the state of one sample."""
TOGETHER = 32
"""Samples that share each reading of a larger table."""
SMALL_TABLES_BYTES = 4_000_000
"""Tables that together are below this need not be shared by more samples than fit, with their state, into the cache."""
SMALL_GROUP = 4
MOST_WEIGHTS = 2**31 * UNIT
"""More could not be numbered in lists of rows."""

Spread = Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]
"""Applies a function to items, as `map` does; results in order."""


def serial(work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """The `Spread` of a single thread."""
    return [work(item) for item in items]


@dataclass(frozen=True)
class CompiledNetwork:
    """A network and the arrays that the loop runs on; weights and biases may change, the structure may not."""

    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    plan: Plan
    sizes: dict[str, int]

    def feedforward(self) -> "CompiledNetwork":
        """The same network, sharing its arrays, in which no table delivers backwards."""
        rows = [connection.forward for connection in self.connections if connection.forward >= 0]
        return replace(self, plan=self.plan.delivering(np.array(rows, np.int64)))

    @property
    def best_group(self) -> int:
        """Samples that a thread carries through the steps together at the highest speed; it never changes a bit."""
        return SMALL_GROUP if self.plan.weights.nbytes < SMALL_TABLES_BYTES else TOGETHER

    def set_weights(self, connection: Connection, weights: ArrayLike) -> None:
        """Quantize the weights of a table to int16 and pack them, both directions.

        Parameters
        ----------
        connection : Connection
        weights : float, of the table's weight shape

        Raises
        ------
        InputError
            Wrong shape, not finite, or so large that a drive could leave its range.
        """
        self.set_all_weights([(connection, weights)])

    def set_all_weights(self, weights: Sequence[tuple[Connection, ArrayLike]], spread: Spread = serial) -> None:
        """`set_weights` for several tables at a time: either all of them change or, after an error, none.

        Parameters
        ----------
        weights : pairs of a connection and its weights
        spread : function like `map`, optional
            Shares the work out over threads.

        Raises
        ------
        InputError
            As `set_weights`.
        """
        found = spread(_quantized, weights)
        reach = {connection: connection.reach for connection in self.connections}
        reach.update({connection: new.reach for (connection, _), new in zip(weights, found, strict=True)})
        for (connection, _), new in zip(weights, found, strict=True):
            self._check_sums(connection, new, reach)
        for (connection, given), new in zip(weights, found, strict=True):
            connection.integers, connection.exponent, connection.reach = new.integers, new.exponent, new.reach
            if isinstance(connection.table, Lookup):
                connection.rows = np.asarray(given, np.float32)
        both = [(c, index) for c, _ in weights for index in (c.forward, c.feedback) if index >= 0]
        spread(lambda pair: self._pack(*pair), both)

    def set_bias(self, population: Population, bias: ArrayLike) -> None:
        """Set the bias of each channel; real, shape (C,)."""
        values = quantize_drive(np.asarray(bias, dtype=np.float64), f"biases of {population.name}")
        if values.shape != (population.shape[2],):
            raise InputError(
                f"biases of {population.name} have shape {values.shape}; it must be ({population.shape[2]},)"
            )
        at = self.plan.populations[population.index].bias
        self.plan.bias[at : at + len(values)] = values

    def drive_from(self, connection: Connection, images: NDArray[np.int16]) -> NDArray[np.int32]:
        """Constant drive of analogue images through a table that starts at an image.

        Parameters
        ----------
        images : int16, shape (n, H, W, C)
            1.0 = 2**12.

        Returns
        -------
        int32, shape (n, H', W', C')
            1.0 = 2**16, halves rounded up.

        Raises
        ------
        InputError
            The drive leaves its range, or the images do not fit.
        """
        if isinstance(connection.table, Sparse):
            raise InputError("an image cannot drive a sparse table; use Dense or Conv")
        if isinstance(connection.table, Lookup):
            return _looked_up(connection, connection.table, images)
        if images.shape[1:] != connection.source.shape:
            raise InputError(f"images are {images.shape[1:]}; {connection.source.name} has {connection.source.shape}")
        table, shift = connection.table, connection.exponent + INPUT_BITS - ONE_BITS
        drive: NDArray[np.int32] | NDArray[np.int64]
        if isinstance(table, Conv):
            drive = np.empty((len(images), *connection.target.shape), np.int32)
            blocks = in_blocks(connection.integers, connection.target.lanes)
            weights = blocks.reshape(*blocks.shape[:-2], -1).astype(np.float64)
            room = np.empty(weights.shape[3])
            largest = convolve_images(
                np.ascontiguousarray(images), weights, table.frame, table.stride, shift, room, drive
            )
        else:
            sums = table.apply(connection.integers, images)  # exact: below 2**15 * 2**15 * 2**23
            drive = shift_rounding(sums.astype(np.int64), shift)
            largest = np.max(np.abs(drive), initial=0)
        if largest >= SHARE_LIMIT:
            raise InputError(
                f"{connection.name} drive a neuron to {largest / ONE:.4g}; the limit is "
                f"{SHARE_LIMIT // ONE}: lower the learning rate or the gain"
            )
        return drive.astype(np.int32, copy=False).reshape(len(images), *connection.target.shape)

    def _shifts(self, connection: Connection, forward: bool) -> tuple[int, int]:
        """Right shifts from sums to drives, for spikes and for graded events."""
        pool = getattr(connection.table, "pool", None)
        quarter = 2 if pool in ("average", "sampled") else 0
        spikes = connection.exponent - ONE_BITS + (0 if forward else connection.attenuation)
        if forward and pool == "sampled":
            return spikes, spikes + ONE_BITS + quarter
        return spikes + quarter, spikes + ONE_BITS + quarter

    def _check_sums(self, connection: Connection, new: "_Quantized", reach: Mapping[Connection, Reach]) -> None:
        """Refuse weights with which a sum or a drive could leave int32; `reach` is that of all tables with them."""
        if connection.source.index < 0:
            return  # a constant drive is checked where it is computed
        largest_forward, largest_backward = new.bounds
        average = getattr(connection.table, "pool", None) == "average"
        for bound, population in (
            (4 * largest_forward if average else largest_forward, connection.target),
            (largest_backward if connection.tied else 0, connection.source),
        ):
            total = self._total(population, reach)
            if bound >= 2**30 or total >= 4 * SHARE_LIMIT:
                raise InputError(
                    f"{connection.name} are too large: the drive of a neuron of {population.name} could reach "
                    f"{total / ONE:.4g}; the limit is {4 * SHARE_LIMIT // ONE}: lower the learning rate or the gain"
                )

    def _total(self, population: Population, reach: Mapping[Connection, Reach]) -> float:
        return sum(
            reach[other].into(backward)
            for other in self.connections
            for backward, target in ((False, other.target), (True, other.source))
            if target is population and (other.tied or not backward)
        )

    def largest_drive(self, population: Population) -> float:
        """What all tables together can add to the drive of a neuron at most, 1.0 = 2**16; images are not counted."""
        own = {connection: connection.reach for connection in self.connections}
        return self._total(population, {c: NO_REACH if c.source.index < 0 else reach for c, reach in own.items()})

    def _pack(self, connection: Connection, index: int) -> None:
        row = self.plan.tables[index]
        forward = index == connection.forward
        target = connection.target if forward else connection.source
        row.shift, row.shift_graded = self._shifts(connection, forward)
        table, integers = connection.table, connection.integers
        assert not isinstance(table, Lookup)  # which has no row of the plan
        if isinstance(table, Sparse):
            values = integers if forward else integers[table.reverse_order()[2]]
            self.plan.sparse_weights[row.weights : row.weights + len(values)] = values
            return
        if isinstance(table, Conv):
            packed = table.pack(integers, target.lanes) if forward else table.pack_reverse(integers, target.lanes)
        else:
            directed = integers if forward else table.transpose(integers)
            packed = table.pack(directed, target.lanes, int(row.out_height * row.out_width))
        place = self.plan.weights[row.weights : row.weights + packed.size]
        place.reshape(packed.shape)[...] = packed


class _Quantized(NamedTuple):
    """Weights of a table as they will be used: bounds of their sums in integers, and in drives (`Connection.reach`)."""

    integers: NDArray[np.int16]
    exponent: int
    bounds: tuple[int, int]
    reach: Reach


def _quantized(pair: tuple[Connection, ArrayLike]) -> _Quantized:
    connection, weights = pair[0], np.asarray(pair[1])
    if weights.shape != connection.integers.shape:
        raise InputError(f"{connection.name} have shape {weights.shape}; it must be {connection.integers.shape}")
    if isinstance(connection.table, Lookup):  # checked row by row, when it is looked up
        return _Quantized(connection.integers, 0, (0, 0), NO_REACH)
    integers, exponent = quantize_weights(weights, connection.name)
    if connection.source.index < 0:
        return _Quantized(integers, exponent, (0, 0), NO_REACH)
    forward, backward = connection.table.bounds(integers)
    scale = 2.0 ** (ONE_BITS - exponent)
    return _Quantized(integers, exponent, (forward, backward), Reach(forward * scale, backward * scale))


def _looked_up(connection: Connection, table: Lookup, numbers: NDArray[Any]) -> NDArray[np.int32]:
    """Drives of positions whose numbers are given, int32 (n, H, W, C); errors as `CompiledNetwork.drive_from`."""
    if numbers.shape[1:] != connection.source.shape:
        raise InputError(f"numbers are {numbers.shape[1:]}; {connection.source.name} has {connection.source.shape}")
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < table.rows:
        raise InputError(
            f"numbers of {connection.source.name} reach from {numbers.min()} to {numbers.max()}; they must be in "
            f"0 .. {table.rows - 1}"
        )
    if connection.rows is None:
        return np.zeros((len(numbers), *connection.target.shape), np.int32)
    return quantize_drive(table.look_up(connection.rows, numbers), connection.name)


def lay_out(
    populations: tuple[Population, ...],
    connections: tuple[Connection, ...],
    external: set[Population],
    nudged: set[Population],
) -> CompiledNetwork:
    """Lay out the plan of a network that has been checked.

    Raises
    ------
    InputError
        A population is pooled in two ways.
    """
    driven = set(external) | {c.target for c in connections if c.source.index < 0}
    rows = np.zeros(len(populations), POPULATION)
    sizes = {"state": 0, "words": 0, "events": 0, "start": 0, "bias": 0}

    def take(what: str, count: int) -> int:
        sizes[what] += count
        return sizes[what] - count

    for population in populations:
        height, width, channels = population.shape
        row = rows[population.index]
        row.height, row.width, row.channels = population.shape
        row.lanes, row.blocks = population.lanes, population.blocks
        row.state = take("state", population.state_size)
        row.words = take("words", population.state_size // 16)
        row.events = take("events", population.neurons + SLACK)
        row.start = take("start", height * width + 1)
        row.pooled_events = row.pooled_start = -1
        row.bias = take("bias", population.blocks * population.lanes)
        row.leak, row.layer = population.leak, population.layer
        row.spike_input = population.spike_input
        neuron = NEURONS[population.neuron]
        row.model, row.mean_field = MODELS.index(neuron), MODELS.index(neuron.mean_field or neuron)
        row.refractory = population.refractory
        row.external, row.nudge = population in driven, population in nudged
        readers = [c for c in connections if c.source is population and getattr(c.table, "pool", None)]
        if readers:
            if len({c.table.pool for c in readers if isinstance(c.table, Conv | Dense)}) > 1:
                raise InputError(f"{population.name} is pooled in two ways; use one")
            pooled_height, pooled_width, _ = pooled(population.shape)
            row.pooled_events = take("events", population.neurons + SLACK)
            row.pooled_start = take("start", pooled_height * pooled_width + 1)
            row.winner = getattr(readers[0].table, "pool", None) == "winner"
            if row.winner and population.spike_input:
                raise InputError(f"{population.name} is an input of spikes, without potentials; pool it in another way")
            if row.winner:
                row.pooled_state = take("state", pooled_height * pooled_width * population.blocks * population.lanes)
    plan = _lay_out_tables(connections, rows, sizes["bias"])
    for population in populations:  # padding never fires
        at, channels = rows[population.index].bias, population.shape[2]
        plan.bias[at + channels : at + population.blocks * population.lanes] = -ONE
    compiled = CompiledNetwork(populations, connections, plan, sizes)
    for connection in connections:
        if isinstance(connection.table, Sparse):
            compiled.set_weights(connection, connection.table.values)
    return compiled


def _lay_out_tables(connections: tuple[Connection, ...], populations: NDArray[np.record], bias_size: int) -> Plan:
    rows: list[np.record] = []
    pointers: list[NDArray[np.int64]] = []
    targets: list[NDArray[np.int32]] = []
    weights, sparse_pointers, sparse_weights = ZEROS, 0, 0
    slices = np.zeros(len(populations), np.int64)  # bytes of the tables of one block of channels
    for connection in connections:
        for forward, index in ((True, connection.forward), (False, connection.feedback)):
            if index < 0:
                continue
            row = _table_row(connection, forward)
            target = connection.target if forward else connection.source
            if isinstance(connection.table, Sparse):
                table = connection.table
                pointer, index_of = (table.pointers, table.indices) if forward else table.reverse_order()[:2]
                row.weights, row.pointers = sparse_weights, sparse_pointers
                sparse_weights += len(index_of)
                sparse_pointers += len(pointer)
                pointers.append(pointer)
                positions = target.to_state(np.arange(target.neurons, dtype=np.int32).reshape(target.shape) + 1)
                inverse = np.empty(target.neurons, np.int32)
                inverse[positions[positions > 0] - 1] = np.flatnonzero(positions)
                targets.append(inverse[index_of])
                populations[target.index].sparse = 1
            else:
                row.weights = weights
                size = int(row.rows) * target.lanes  # weights onto one block of channels
                if row.kind == KIND_DENSE:
                    size *= int(row.out_height * row.out_width)
                weights += size * target.blocks
                slices[target.index] += size * 2
            rows.append(row)
    if weights > MOST_WEIGHTS:
        raise InputError(
            f"the tables hold {weights:,} weights, both directions together; at most {MOST_WEIGHTS:,} can be numbered: "
            "make the network smaller"
        )
    populations["together"] = np.where(slices > TABLE_BYTES_IN_CACHE, TOGETHER, 1)
    tables = np.array(rows, TABLE)
    order = np.argsort(tables["target"], kind="stable")
    counts = np.bincount(tables["target"], minlength=len(populations))
    return Plan(
        populations=populations,
        tables=tables,
        incoming_pointers=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        incoming=order.astype(np.int64),
        weights=aligned_zeros(weights, np.int16),
        bias=aligned_zeros(bias_size, np.int32),
        sparse_pointers=np.concatenate([np.zeros(0, np.int64), *pointers]),
        sparse_targets=np.concatenate([np.zeros(0, np.int32), *targets]),
        sparse_weights=np.zeros(sparse_weights, np.int16),
    )


def _table_row(connection: Connection, forward: bool) -> np.record:
    """A row of `Plan.tables`, but for the offsets and shifts."""
    table = connection.table
    source, target = connection.source, connection.target
    pool = getattr(table, "pool", None)
    lower = pooled(source.shape) if pool else source.shape  # the map that the table sees at its lower end
    read, delivered = (lower, target.shape) if forward else (target.shape, lower)
    row: np.record = np.zeros(1, TABLE)[0]
    row.source, row.target = source.index, target.index
    if not forward:
        row.source, row.target = target.index, source.index
    row.in_height, row.in_width, row.in_channels = read
    row.out_height, row.out_width = delivered[:2]
    row.kernel_height = row.kernel_width = row.stride = row.apart = 1
    if isinstance(table, Conv):
        row.kind = KIND_CONV
        row.kernel_height, row.kernel_width = table.sides
        row.pad_height, row.pad_width = table.frame if forward else table.reverse_frame
        row.stride, row.apart = (table.stride, 1) if forward else (1, table.stride)
        row.rows = math.prod(table.sides) * read[2]
    elif isinstance(table, Dense):
        row.kind, row.rows = KIND_DENSE, math.prod(read)
    else:
        row.kind = KIND_SPARSE
    if pool and forward:
        row.pooled = POOLS[pool]
    row.tiled = bool(pool) and not forward
    return row
