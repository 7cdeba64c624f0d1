// A step called and the same step replayed: what JavaScript costs when the work is small, and that it does not matter when
// it is not.
import {
  adamw_,
  capture,
  crossEntropy,
  noGrad,
  randint,
  randn,
  rmsNorm,
  scaledDotProductAttention,
  tidy,
  zeros,
  zerosLike,
  type Tensor,
} from '@shakti/tensor'
import type { Bench } from '../lib/metabench.js'

/** Norm, attention, head, loss, backward and AdamW. */
function makeStep(batch: number, length: number, width: number): () => Tensor {
  const weight = (...shape: number[]): Tensor =>
    noGrad(() => randn(shape).mul(width ** -0.5)).requiresGrad_()
  const [w1, qkv, out, w2, head] = [
    weight(width),
    weight(3 * width, width),
    weight(width, width),
    weight(width),
    weight(32, width),
  ] as const
  const parameters = [w1, qkv, out, w2, head]
  const m = parameters.map((p) => zerosLike(p))
  const v = parameters.map((p) => zerosLike(p))
  const count = zeros([], { dtype: 'f64' })
  const x = randn([batch, length, width])
  const target = randint(0, 32, [batch * length])
  return () => {
    const parts = rmsNorm(x, w1)
      .linear(qkv)
      .reshape([batch, length, 3, 2, width / 2])
      .unbind(2) as [Tensor, Tensor, Tensor]
    const mixed = scaledDotProductAttention(...parts, { isCausal: true }).reshape(x.shape)
    const h = x.add(mixed.linear(out))
    const loss = crossEntropy(rmsNorm(h, w2).linear(head).reshape([-1, 32]), target)
    loss.backward()
    count.add_(1)
    const grads = parameters.map((p) => p.grad!)
    adamw_(parameters, grads, m, v, { lr: 1e-3, step: count, weightDecay: 0.1 })
    for (const p of parameters) p.grad = undefined
    return loss.detach()
  }
}

const replayed = (step: () => Tensor): (() => unknown) => {
  tidy(step)
  const captured = capture(step)
  return () => captured.replay()
}

/** Batch, length, width. */
const sizes: readonly (readonly [number, number, number])[] = [
  [2, 8, 16],
  [4, 64, 64],
  [8, 128, 256],
]

export const captures: Bench[] = [
  {
    name: 'chain of 100 adds of 16 elements, replayed',
    setup: () => {
      const [a, b] = [randn([16]), randn([16])]
      return replayed(() => {
        let x = a
        for (let i = 0; i < 100; i++) x = x.add(b)
        return x
      })
    },
  },
  ...sizes.flatMap((size): Bench[] => {
    const name = `training step of ${size.join('x')}`
    return [
      { name, setup: () => makeStep(...size) },
      { name: `${name}, replayed`, setup: () => replayed(makeStep(...size)) },
    ]
  }),
]
