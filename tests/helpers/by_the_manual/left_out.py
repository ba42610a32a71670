"""What of docs/model.md no function here follows: passages that give reasons, and options that are missing."""

EXPLAINED = (
    # Normalization
    """
    With `model.normalization = "running-statistics"` (`ep/training/normalization/`) the drive of every channel is
    normalized, by statistics that are folded into the weights. A layer learns weights $W$, gains $g$ and biases $b$,
    of both one per channel, and its neurons have
    """,
    """
    $m$ and $s$ are the running mean and standard deviation, over samples and positions, of the drive $u$ that $W$
    makes. So the drive has the mean $b$ and the standard deviation $g$, as in batch normalization [20]. $m$ and $s$
    are held in all phases of a mini-batch, as in [21], and no gradient passes through them: nothing changes for an
    event, feedback has the same weights, a test uses the statistics that training left.
    """,
    "After the nudged phases",
    "With $G$ and $db$ the gradients of the neurons' weights and biases, those of what is learned are",
    """
    Centering is what is left of the gradient through the statistics: it takes the mean of a channel's errors away. Then
    """,
    """
    Firing probabilities are never negative: weights with a mean make all neurons of a layer follow the mean rate of the
    one below, which noise and the first steps of a phase raise. From layer to layer that grows, until a network of
    eight layers does not settle within its free phase. Weights without a mean under running statistics are ours.
    """,
    # The model
    """
    This page defines what spikesim computes. File names say where each part is implemented; sources are at the end.
    `tests/helpers/by_the_manual/` is this page as a program of its own, sentence by sentence, and its test trains
    with both and compares every number: change the one with the other.
    """,
    # Dynamics
    """
    The last layer gets nothing from above. There is no reset. $k$ is `dynamics.leak`; the low pass is needed because
    $p$ is a clipped, hence not linear, function of the drive: without it the fluctuations of the spikes shift the
    mean.
    """,
    """
    The fixed point is the same; the image reaches the top layer in one step, or in half as many as there are layers.
    """,
    "Max-pooling of sums of spikes has no such adjoint [4].",
    """
    So pooling is a maximum, with its adjoint, and has a quarter of the events; but the winners of fluctuating
    potentials are in part those of noise.
    """,
    "The mean over four steps is that of the average.",
    # Energy function and mean field
    r"""
    E(p) &= \sum \frac{1}{2} p^2 - \Phi(p) \\ \Phi(p) &= \langle W_1 * x, p^1 \rangle + \sum_{l>1}
    \langle W_l * \mathrm{Pool}(p^{l-1}), p^l \rangle + \sum_l \langle b_l, p^l \rangle With $p$ instead of $z$ the
    dynamics converge to points where $p = \mathrm{clip}(\partial\Phi/\partial p, 0, 1)$, the stationary points of $E$
    in the box.
    """,
    """
    In the stochastic dynamics $E$ is measured with spikes for the sender's $p$, as the last step of a phase finds it
    (`/energy/hopfield` in the run file):
    """,
    "A synapse that acts in both directions is in the drives at its two ends, which count half:",
    "Convergence is not guaranteed: tied weights must be small enough.",
    # Intermediate error signals
    "So a map of 13x11 neurons has blocks of one neuron, whatever the grid.",
    r"The total cost is C = C_\mathrm{readout} + \sum_l \lambda_l C_l",
    "it is absent in the free phase and in tests.",
    "Everything else is unchanged, and every update stays local [3, 8].",
    # Clamped drives
    r"""
    What a layer receives from below in the nudged phases is, by default (`dynamics.nudged_phase = "linear-response"`,
    `ep/phases/nudged/clamped_drive.py`), its mean in the free phase; what it receives from above counts as the
    deviation from the free phase, with the *error gain* $\eta$ (`dynamics.error_gain`, a power of two, or 0: no error
    leads down):
    """,
    r"""
    $r$ are the rates of the free phase, $s$ the present spikes. Without a nudge nothing moves. With one, d_l &= r^+_l
    - r^-_l = D_l \bigl( \eta\, \mathrm{Pool}^T(W_{l+1}^T d_{l+1}) + \mathrm{nudge}^+_l -
    \mathrm{nudge}^-_l \bigr) \\
    """,
    "Errors travel down only, as in backpropagation, and with an error gain of 1 $d$ is its error.",
    "and four steps are a phase.",
    """
    That predictions are held while errors settle is the fixed prediction assumption of predictive coding [13]; that
    neurons respond to the deviation from what they expect from above is the mechanism of [14]. The error gain trades
    what the layers above want against the noise of their spikes: a nudge that is small flips few spikes, and few
    flips are a noisy message.
    """,
    # Graded errors
    r"""
    With `dynamics.nudged_phase = "linear-response"`, the default (`ep/phases/nudged/linear_response.py`), the nudged
    phases have no spikes and no noise. A neuron whose potential fluctuates in the window of the free phase has the
    mean rate $r = \langle \mathrm{clip}(V) \rangle$. Shifted by $u$, its mean rate is to first order
    """,
    """
    So errors with a gain of 1/2 arrive, and a neuron that fires now and then, because its potential fluctuates, has its
    derivative, which at its mean drive it would not.
    """,
    "Free phases and tests spike as before.",
    # Live drives
    """
    A layer with heads below it then also responds to their nudges, which the weights send up at full strength. The
    gradient of layer $l$ is estimated from quantities at its own two ends, means $r$ of $p$ over the window of each
    phase:
    """,
    """
    This is the *postsynaptic* rule (`dynamics.rule`), that of vector fields, which need no energy [12]: a weight learns
    from the change behind it, the gradient of the weight as it acts forwards. The *symmetric* rule, the derivative of
    the energy [1], has instead of the first line
    """,
    r"""
    and, to first order, one term more, $r^l \otimes \mathrm{Pool}(r_+^{l-1} - r_-^{l-1})$: the gradient of the weight
    as it feeds back. Where the feedback is weak and layers have heads, that term is as large as the first and of no
    use: it would change the weight so as to help the head below through a feedback that hardly reaches it
    ([notebook](notebook/accuracy.md#what-made-vgg11-learn)).
    """,
    r"""
    That is still the gradient of an energy, in which layer $l$ weighs $\gamma^l$, up to a factor (the run file's is 1
    for the lowest layer). Relative to the top layer, where the nudge acts, that is $\gamma^{l-L}$:
    """,
    r"""
    and $\lambda_l$ stands for the strength of the nudge, the weight of $C_l$ being $\lambda_l \gamma^{l-L}$. The free
    phase settles faster and tolerates larger weights, so that the image reaches high layers; top-down feedback is
    weaker, and the local heads compensate for it.
    """,
    # Both
    """
    what differs between them is then mostly due to the nudge. Spiking equilibrium propagation in general follows [3,
    4]; the reconstruction of [3] is ours, from its abstract.
    """,
    """
    The common component of all weights into a neuron, along the mean activity, otherwise grows until the spectral norm
    exceeds 1 [10, 11].
    """,
    # Stability
    """
    The program monitors or controls (`ep/training/stability/controllers.py`, `ep/training/stability/homeostasis.py`,
    `ep/gradients/activity_penalty.py`, `ep/training/stability/spectral.py`, `ep/training/diagnostics.py`):
    """,
    """
    A deviation of a pair of layers is multiplied by it in a step, so below 1 it dies out; a chain needs about half of
    that.
    """,
    r"""
    - common failure modes raise a one-line warning with a remedy, once per run: silent, hot or saturated layers, a
    free phase that does not settle, a spectral norm above 1, a loss that rises, a $\beta$ at its bound.
    """,
    "Nothing else depends on them; each head learns from its own cost.",
    # Firing
    r"""
    At each step a neuron fires with probability $p$; in any $2^j$ steps in a row the number of its spikes at a
    constant $p$ differs from $2^j p$ by less than 1; in $2^j$ steps from a multiple of $2^j$ on, that of the four
    neurons of a cell, at the same $p$, differs from $4 \cdot 2^j p$ by less than 1. So averages over cells, as those
    of pools, are less noisy than those of independent draws. Slower low passes take more of the noise away, and with
    it the bias that it leaves. Longer windows do so with `iid`; with `stratified`, whose $R_0$ stays as it is for a
    phase, most of what they gain comes in the first 16 to 32 steps, and what is left differs between phases, so that
    the residual does not show it. For long windows take `iid`, or a slower leak
    ([results.md](results.md#spikes-against-the-mean-field)).
    """,
    # Integers
    """
    The shift rounds down, and in any $2^k$ steps in a row each remainder is rounded up as often as it should be: $V$
    comes to a constant drive from both sides and stays there.
    """,
    "$p$ never reaches 1: a neuron with $V$ of 1 or more is silent once in 65,536 steps on average (iid).",
    """
    Weights whose drive could leave the range of int32 are rejected with a one-line error when they are set; nothing
    overflows.
    """,
    """
    What is exact, hence the same for any order, number of threads and size of group: - drives: sums of int32; in mean
    field, sums of integers below $2^{53}$ in float64; - the mean of an input of spikes over the window: a sum of
    spikes, $2^{16}$ each; held, a quotient rounded to $2^{-16}$; - contrast: window sums (int32), the sums of their
    products int64 (`ep/gradients/correlation.py`), made of products of numbers of 16 bits, of which int32 holds the
    sums; a mini-batch so large that int64 might not hold them is refused; - counters, correct answers, residuals:
    integers until they are divided once; - read-out: logits before scaling are sums of integers below $2^{53}$;
    errors are rounded to $2^{-16}$ before they are used. What is floating point, always in the same order: softmax
    and loss, with exp and log made of additions, multiplications and divisions
    (`spikesim/numerics/portable_math.py`); the optimizer, elementwise float32; losses are added by `math.fsum`, which
    rounds once; controllers and homeostasis, a few operations on numbers that are the same.
    """,
    "No fast-math anywhere. The factor of the cosine schedule uses the platform's cosine.",
    # Random numbers
    "The counters:",
    """
    Thread, group, position in the mini-batch and number of calls do not appear: nothing random has a state. Initial
    weights are the one exception to this generator:
    """,
    # Operations and energy
    """
    The physical energy is an estimate from them: 0.9 pJ per accumulate, 4.6 pJ per multiply-accumulate [6],
    arithmetic of synapses only. Names follow NeuroBench [7].
    """,
)
"""Reasons, consequences, and what the other passages define: a model without them would be the same."""

MISSING = (
    # normalization: runs with given weights, the other kind
    """
    their learning rate is that of the biases, and the limit of the spectral norm multiplies them instead of weights.
    Before the first statistics $m$ is 0 and $s$ is $g$;
    """,
    "A run that starts with given weights takes its statistics, and gains equal to them, from its first mini-batch.",
    r"""
    With `model.normalization = "weight-standardization"` $s$ is the norm of $W - \mathrm{mean}\, W$ [22] instead of
    a statistic of the drive, $m$ is 0, and $dW = (g / s) (G - \mathrm{mean}\, G - n \sum G n)$,
    $n = (W - \mathrm{mean}\, W) / s$, $dg = \sum G n$. It needs no statistics; the calibration sets the gains such
    that the drives have the standard deviation `model.drive_deviation`.
    """,
    # inputs of spikes
    "samples may also enter as spikes $z^0$ ([streams.md](streams.md)).",
    "| Bernoulli-coded image | octet of the flat image | step | sample | 0xFB000000 + stream |",
    # pools as strides
    """
    With `strided` there are no pools: a layer that would be pooled is a convolution with a stride of 2, which has a
    quarter of the neurons.
    """,
    # a teacher, balanced strengths
    r"""
    A head is trained on the labels (`local`), on a teacher (`kd`), or on both; with `kd` and `both` so is the
    read-out. With teacher logits $t$, temperature $\tau$ and weight $s$ (`error_signals.teacher_weight`; 1 for the
    heads of `kd`) its cost is [9] C_l &= (1 - s)\, \mathrm{CE}(y, \mathrm{softmax}(o)) + s \tau^2\,
    \mathrm{KL}(\mathrm{softmax}(t / \tau) \,\|\, \mathrm{softmax}(o / \tau)) \\ -\partial C_l / \partial o &= (1 - s)
    (y - \mathrm{softmax}(o)) + s \tau\, (\mathrm{softmax}(t / \tau) - \mathrm{softmax}(o / \tau))
    """,
    """
    or *balanced*: steered, by at most 10 % per mini-batch, until the mean $|r_+ - r_-|$ of every layer with a head is
    that of the top layer.
    """,
    # a tolerance
    """
    or, with `dynamics.tolerance` (`ep/phases/convergence.py`), until the sample's prediction has settled: every half
    window the read-out is applied to both halves of the latest window, and the sample's free phase ends when the
    total variation distance between its two predictions is no more than the tolerance. With
    `dynamics.residual_tolerance` it ends when the network has settled: in each layer the mean difference of $p$
    between the halves, the residual, is no more than that. With both it ends when both hold.
    """,
    """
    With `dynamics.residual_tolerance_nudged` each sample ends these two when its network has settled, in the same way,
    if they are phases of spikes or of the mean field (not the linear response). The steps that phases took are in the
    counters, and in the report per sample.
    """,
    # other nudges
    r"What is of first order in $\beta$ in the error changes its sign with $\beta$, and averages out [2].",
    r"their variants are `one-sided` ($+\beta$ against the free phase, divided by $\beta$) and `random-sign` [1, 2].",
    # controllers and the activity penalty
    r"""
    - *$\beta$*: with `stability.beta_control = "rate-difference"` it is adjusted so that the mean $|r_+ - r_-|$ of
    the top layer is `stability.rate_difference`; by at most 10 % per mini-batch, within bounds. It is in every row of
    the run file.
    """,
    "`stability.target_rate` puts the floor at half of it or lower.",
    r"""
    - *the activity penalty* (`ep/gradients/activity_penalty.py`), with a target rate: the cost has a term more,
    $\mathrm{penalty}_l \sum_i r_i$ over the neurons of layer $l$, $r$ the mean rate of the free phase. Its gradient
    is local and takes no nudged phase: shifted in its drive, $r$ moves by $s$ ("Graded errors"), so that
    $\partial C/\partial W_l$ has a term $\mathrm{penalty}_l\, s \otimes \mathrm{Pool}(r^{l-1})$. The penalty of a
    layer is zero until it is more active than its target, moves by `stability.penalty_rate` times its mean error
    times its relative excess in a mini-batch, and is in every row of the run file (`activity_penalty`). A penalty
    that shifts no more than the biases makes all neurons less active; acting on the weights, this one lets the
    network choose which neurons to silence.
    """,
    # augmentation, data sets with a name
    "| shift, mirror and cutout | sample | epoch | 0 | 0xFF000000 |",
    """
    data sets with a name have the published constants (Fashion-MNIST 0.2860 and 0.3530, also for the embedded part of
    it).
    """,
)
"""Options that this implementation does not have."""
