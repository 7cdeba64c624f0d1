// A captured step does what the step itself does: the same bits, the same random numbers, in memory of its own.
import {
  adamw_,
  capture,
  CaptureError,
  checkpoint,
  clipGradNorm_,
  crossEntropy,
  detectAnomaly,
  deviceInfo,
  DisposedError,
  dropout,
  getDefaultDevice,
  getRngState,
  keep,
  manualSeed,
  memory,
  noGrad,
  NativeError,
  ones,
  profile,
  randint,
  randn,
  resetDevice,
  rmsNorm,
  scaledDotProductAttention,
  setNumThreads,
  setRngState,
  ShapeError,
  synchronize,
  tensor,
  tidy,
  zeros,
  zerosLike,
  type Capture,
  type Tensor,
} from '@shakti/tensor'
import { native } from '../src/native/binding.js'
import { placeOf } from '../src/native/places.js'
import { assert, assertThrows, counts, test } from './assert.js'

const commands = (): number => native().stats(placeOf(getDefaultDevice())).commands
const values = (t: Tensor): number[] => [...t.dataSync()]

/** A transformer block with dropout, its loss and AdamW: one step on data that `feed` writes. */
class Step {
  readonly x = zeros([4, 8, 16])
  readonly target = zeros([32], { dtype: 'i32' })
  readonly lr = zeros([], { dtype: 'f64' })
  readonly count = zeros([], { dtype: 'f64' })
  readonly parameters: Tensor[]
  readonly #m: Tensor[]
  readonly #v: Tensor[]

  constructor() {
    manualSeed(1)
    const weight = (...shape: number[]): Tensor => randn(shape, { requiresGrad: true })
    this.parameters = [weight(16), weight(48, 16), weight(16, 16), weight(16), weight(10, 16)]
    noGrad(() => this.parameters.forEach((p) => p.mul_(0.3)))
    this.#m = this.parameters.map((p) => zerosLike(p))
    this.#v = this.parameters.map((p) => zerosLike(p))
  }

  feed(i: number): void {
    tidy(() => {
      this.x.copy_(
        tensor(
          Float32Array.from({ length: 512 }, (_, k) => Math.sin(k * (i + 1))),
          { shape: [4, 8, 16] },
        ),
      )
      this.target.copy_(tensor(Int32Array.from({ length: 32 }, (_, k) => (k * 7 + i) % 10)))
      this.lr.fill_(0.02 / (i + 1))
    })
  }

  run = (): Tensor => {
    const [w1, qkv, out, w2, head] = this.parameters as [Tensor, Tensor, Tensor, Tensor, Tensor]
    const [q, k, v] = rmsNorm(this.x, w1)
      .linear(qkv)
      .reshape([4, 8, 3, 2, 8])
      .permute([2, 0, 1, 3, 4])
      .unbind(0) as [Tensor, Tensor, Tensor]
    const mixed = scaledDotProductAttention(q, k, v, { isCausal: true }).reshape([4, 8, 16])
    const h = this.x.add(dropout(mixed.linear(out), 0.2))
    const loss = crossEntropy(rmsNorm(h, w2).linear(head).reshape([32, 10]), this.target)
    loss.backward()
    clipGradNorm_(this.parameters, 1)
    noGrad(() => this.count.add_(1))
    const grads = this.parameters.map((p) => p.grad!)
    adamw_(this.parameters, grads, this.#m, this.#v, {
      lr: this.lr,
      step: this.count,
      weightDecay: 0.1,
    })
    for (const p of this.parameters) p.grad = undefined
    return loss.detach()
  }

  /** Loss and all state. */
  numbers(loss: Tensor): number[][] {
    return [loss, ...this.parameters, ...this.#m, ...this.#v, this.count].map(values)
  }
}

test('ten replays of a captured training step give the bits of ten steps, on one thread and on two', () => {
  const { threads } = deviceInfo()
  for (const n of [1, 2]) {
    setNumThreads(n)
    const eager = new Step()
    const want = Array.from({ length: 10 }, (_, i) => {
      eager.feed(i)
      return tidy(() => eager.numbers(eager.run()))
    })
    const rng = getRngState()
    const step = new Step()
    const captured = capture(step.run)
    for (let i = 0; i < 10; i++) {
      step.feed(i)
      assert.equal(step.numbers(captured.replay()), want[i], `step ${i} on ${n} threads`)
    }
    assert.equal(getRngState(), rng)
    assert.ok(want[9]![0]![0]! < want[0]![0]![0]!, 'it learns')
    captured.dispose()
  }
  setNumThreads(threads)
})

test('a replay runs every command of the step and JavaScript issues none', async () => {
  const step = new Step()
  step.feed(0)
  const before = commands()
  const eager = await profile(() => tidy(() => void step.run()))
  const issued = commands() - before
  const captured = capture(step.run)
  const start = commands()
  const replayed = await profile(() => void captured.replay())
  assert.is(commands(), start)
  const calls = (p: typeof eager): [string, number][] =>
    p.map((row): [string, number] => [row.op, row.calls]).sort()
  assert.equal(calls(replayed), calls(eager))
  assert.is(
    replayed.reduce((sum, row) => sum + row.calls, 0),
    issued,
  )
  captured.dispose()
})

test('memory is flat over many replays, belongs to the capture, and comes back from it', async () => {
  const none = counts()
  const step = new Step()
  step.feed(0)
  const captured = capture(step.run)
  assert.ok(captured.bytes > 0)
  assert.is(memory().capturedBytes, none.capturedBytes + captured.bytes)
  captured.replay()
  await synchronize()
  const before = counts()
  // A simulated GPU takes its time.
  for (let i = 0; i < (getDefaultDevice() === 'cpu' ? 1000 : 20); i++) captured.replay()
  await synchronize()
  assert.equal(counts(), before)
  const last = values(captured.output)
  captured.dispose()
  assert.is(memory().capturedBytes, none.capturedBytes)
  assert.ok(memory().liveBytes < before.liveBytes)
  // What was returned stays, and is what it was, whatever takes the memory of the rest.
  tidy(() => {
    for (let i = 0; i < 50; i++) ones([512])
  })
  assert.equal(values(captured.output), last)
})

test('a capture that nobody holds is collected with its memory', () => {
  const before = counts()
  const make = (): void => void capture(() => ones([1000]).add(1)).replay()
  for (let i = 0; i < 10; i++) make()
  assert.ok(memory().capturedBytes > before.capturedBytes)
  const after = counts()
  assert.is(after.capturedBytes, before.capturedBytes)
  assert.is(after.liveBytes, before.liveBytes)
})

test('memory freed inside is used again inside, and by nobody else', () => {
  const n = 1 << 16
  const x = ones([n])
  const chain = capture(() => {
    let y = x
    for (let i = 0; i < 20; i++) {
      const next = y.add(1)
      if (y !== x) y.dispose()
      y = next
    }
    return y
  })
  assert.ok(chain.bytes < 8 * 4 * n, `${chain.bytes} bytes for a chain of 20`)
  const others = Array.from({ length: 40 }, (_, i) => zeros([n]).add(i))
  chain.replay()
  others.forEach((t, i) => assert.is(t.amax().itemSync(), i))
  assert.equal([chain.output.amin().itemSync(), chain.output.amax().itemSync()], [21, 21])
  chain.dispose()
})

test('captures that share a pool take one step of memory, and each gives its own numbers', () => {
  const none = counts()
  const x = ones([4096])
  // Eight temporaries that all live at once, and one number.
  const step = (k: number) => (): Tensor =>
    Array.from({ length: 8 }, (_, i) => x.mul(k + i))
      .reduce((a, b) => a.add(b))
      .sum()
  const want = (k: number): number => 4096 * (8 * k + 28)
  const first = capture(step(1))
  const others = [2, 3].map((k) => capture(step(k), { pool: first }))
  assert.ok(first.bytes > 8 * 4 * 4096)
  for (const c of others) assert.ok(c.bytes < 4 * 4096, `${c.bytes} bytes more`)
  const all = [first, ...others]
  assert.is(memory().capturedBytes, none.capturedBytes + all.reduce((n, c) => n + c.bytes, 0))
  for (let round = 0; round < 3; round++)
    all.forEach((c, i) => assert.is(c.replay().itemSync(), want(i + 1)))
  // The memory stays while one of them has it.
  first.output.dispose()
  first.dispose()
  const noise = Array.from({ length: 20 }, () => ones([4096]))
  assert.is(others[1]!.replay().itemSync(), want(3))
  for (const t of noise) assert.is(t.amax().itemSync(), 1)
  assertThrows(() => capture(step(4), { pool: first }), DisposedError, 'pool')
  for (const c of others) c.output.dispose()
  for (const c of others) c.dispose()
  for (const t of [x, ...noise]) t.dispose()
  const after = counts()
  assert.is(after.capturedBytes, none.capturedBytes)
  assert.is(after.liveBytes, none.liveBytes)
})

test('what the capture uses lives on when the program lets go of it', () => {
  const make = (): Capture<Tensor> => {
    const [a, b] = [tensor([1, 2]), tensor([10, 20])]
    const sum = capture(() => a.add(b))
    a.dispose()
    b.dispose()
    return sum
  }
  const sum = make()
  const noise = Array.from({ length: 100 }, () => tensor([-1, -1]))
  assert.equal(values(sum.replay()), [11, 22])
  for (const t of noise) t.dispose()
  sum.dispose()
})

test('host data inside is part of the recording; tensors written in place are read anew', () => {
  const x = tensor([1, 2])
  const step = capture(() => {
    const constant = tensor([10, 20])
    const y = constant.add(x)
    // A replay must find the data there again.
    constant.mul_(0)
    return y
  })
  assert.equal(values(step.replay()), [11, 22])
  x.fill_(5)
  assert.equal(values(step.replay()), [15, 25])
  assert.equal(values(step.replay()), [15, 25])
  step.dispose()
})

test('a gradient that the step leaves is overwritten by each replay; one that was there is added to', () => {
  const x = tensor([1, 2])
  const w = tensor([3, 4], { requiresGrad: true })
  const fresh = capture(() => void w.mul(x).sum().backward())
  const grad = w.grad!
  for (const k of [1, 2, 3]) {
    x.fill_(k)
    fresh.replay()
    assert.equal(values(grad), [k, k])
  }
  const added = capture(() => void w.mul(x).sum().backward())
  assert.is(w.grad, grad)
  for (const k of [6, 9]) {
    added.replay()
    assert.equal(values(grad), [k, k])
  }
  fresh.dispose()
  added.dispose()
})

test('one capture may read what another made, once that has run', () => {
  const x = tensor([1, 2])
  const first = capture(() => x.mul(10))
  assertThrows(() => capture(() => first.output.add(1)), CaptureError, 'replay()')
  first.replay()
  const second = capture(() => first.output.add(1))
  x.fill_(3)
  first.replay()
  assert.equal(values(second.replay()), [31, 31])
  first.dispose()
  first.output.dispose()
  for (let i = 0; i < 20; i++) tensor([0, 0])
  assert.equal(values(second.replay()), [31, 31])
  second.dispose()
})

test('random numbers go on through replays, calls, checkpoints and a new seed as without a capture', () => {
  const w = ones([3], { requiresGrad: true })
  const draw = (): Tensor[] => {
    const y = checkpoint((t) => dropout(t.mul(randn([3])), 0.5), w)
    y.sum().backward()
    const grad = w.grad!.clone()
    w.grad = undefined
    return [y.detach(), grad, randint(0, 1000, [2])]
  }
  const tour = (again: () => Tensor[]): number[][] => {
    const all: number[][] = []
    manualSeed(7)
    all.push(...again().map(values), values(randn([5])), ...again().map(values))
    manualSeed(2 ** 40 + 3)
    all.push(...again().map(values), ...again().map(values))
    return all
  }
  const want = tour(draw)
  manualSeed(99)
  randn([100])
  const step = capture(draw)
  assert.is(getRngState().offset, 25)
  assert.equal(
    tour(() => step.replay()),
    want,
  )
  step.dispose()
})

test('what reads, waits or cannot be repeated is refused inside a capture, naming the call', () => {
  const x = tensor([1])
  const other = capture(() => x.add(1))
  const refused: Record<string, () => unknown> = {
    data: () => x.data(),
    dataSync: () => x.dataSync(),
    item: () => x.item(),
    itemSync: () => x.itemSync(),
    toArray: () => x.toArray(),
    toArraySync: () => x.toArraySync(),
    synchronize: () => synchronize(),
    profile: () => profile(() => undefined),
    resetDevice: () => resetDevice(),
    setNumThreads: () => setNumThreads(1),
    detectAnomaly: () => detectAnomaly(() => x.add(1)),
    manualSeed: () => manualSeed(0),
    setRngState: () => setRngState({ seed: 0, offset: 0 }),
    capture: () => capture(() => x),
    replay: () => other.replay(),
  }
  for (const [name, call] of Object.entries(refused)) {
    const error = assertThrows(() => capture(call), CaptureError, `[${name}]`)
    assert.is(error.op, name)
  }
  assertThrows(() => capture(() => Promise.resolve(1)), CaptureError, 'promise')
  assertThrows(() => detectAnomaly(() => capture(() => x)), CaptureError, 'anomaly')
  // Refused and caught, it leaves nothing behind.
  const step = capture(() => {
    assertThrows(() => x.itemSync(), CaptureError)
    return x.add(1)
  })
  assert.equal(values(step.replay()), [2])
  step.dispose()
  other.dispose()
})

test('when the function throws, nothing has run and everything is as before', () => {
  const before = counts()
  const x = tensor([1, 2])
  const w = tensor([1, 1], { requiresGrad: true })
  const v = tensor([2, 2], { requiresGrad: true })
  v.sum().backward()
  manualSeed(3)
  let escaped: Tensor | undefined
  assertThrows(
    () =>
      capture(() => {
        x.add_(1)
        w.mul(v)
          .mul(randn([2]))
          .sum()
          .backward()
        escaped = keep(x.add(1))
        throw new RangeError('in the middle')
      }),
    RangeError,
    'in the middle',
  )
  assert.equal(values(x), [1, 2])
  assert.is(w.grad, undefined)
  assert.equal(values(v.grad!), [1, 1])
  assert.equal(getRngState(), { seed: 3, offset: 0 })
  assertThrows(() => escaped!.dataSync(), CaptureError, 'replay')
  assert.equal(values(x.add(1)), [2, 3])
  for (const t of [x, w, v, escaped!, v.grad!]) t.dispose()
  const after = counts()
  assert.is(after.liveBytes, before.liveBytes)
  assert.is(after.capturedBytes, before.capturedBytes)
})

test('results cannot be read before the first replay, and a disposed capture cannot be replayed', () => {
  const x = tensor([1])
  const step = capture(() => x.add(1))
  assertThrows(() => step.output.dataSync(), CaptureError, 'replay')
  assertThrows(() => step.output.add(1), CaptureError, 'replay')
  step.replay()
  step.dispose()
  step.dispose()
  assertThrows(() => step.replay(), DisposedError)
  assert.equal(values(step.output), [2])
})

test('a tensor that the tape saved and a replay has changed is noticed', () => {
  const x = tensor([2])
  const step = capture(() => void x.mul_(3))
  const w = tensor([1], { requiresGrad: true })
  const y = w.mul(x)
  step.replay()
  assert.throws(() => y.backward(), /changed in place/)
  step.dispose()
})

test('an error in a replayed command is reported by the next read, and the capture is good after the reset', () => {
  const weight = ones([2, 2])
  const ids = tensor([0, 1], { dtype: 'i32' })
  const step = capture(() => weight.indexSelect(0, ids).sum())
  ids.fill_(9)
  step.replay()
  assertThrows(() => step.output.itemSync(), NativeError, '9')
  assertThrows(() => step.replay(), NativeError)
  resetDevice()
  ids.fill_(1)
  assert.is(step.replay().itemSync(), 4)
  step.dispose()
})

test('adamw takes lr and step from the device, where they are checked when it runs', () => {
  const update = (lr: number | Tensor, step: number | Tensor): Tensor => {
    const [p, m, v] = [ones([5]), zeros([5]), zeros([5])]
    adamw_([p], [ones([5])], [m], [v], { lr, step, weightDecay: 0.1 })
    return p
  }
  const f64 = (x: number): Tensor => tensor(x, { dtype: 'f64' })
  for (const step of [1, 2, 1000]) {
    assert.equal(values(update(f64(0.1), f64(step))), values(update(0.1, step)))
    assert.equal(values(update(0.1, f64(step))), values(update(0.1, step)))
  }
  assertThrows(() => update(tensor([0.1]), 1), ShapeError, 'lr', 'f32[1]')
  assertThrows(() => update(0.1, f64(0).expand([2])), ShapeError, 'step')
  for (const [lr, step] of [
    [f64(NaN), 1],
    [f64(-1), 1],
    [0.1, f64(0)],
  ] as const) {
    assertThrows(() => update(lr, step).dataSync(), NativeError)
    resetDevice()
  }
})

test.run()
