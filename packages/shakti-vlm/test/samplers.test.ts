// Each sampler against the definition of its paper, written plainly.
import { ShaktiError } from '@shakti/tensor'
import { Candidates, sample, samplers, seededRandom, type Sampler } from '../src/index.js'
import { best } from '../src/generate/candidates.js'
import { samplersOf } from '../src/generate/samplers.js'
import { assert, assertClose, assertThrows, test } from './assert.js'

const random = seededRandom(5)
/** Logits as a model has them: a few high, many low. */
const logits = (n: number, wide = 3): Float64Array =>
  Float64Array.from(
    { length: n },
    () => wide * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(6.3 * random()),
  )

const nothing = { written: new Map<number, number>(), prompt: new Set<number>() }
/** Probability of every token after a sampler; 0 for those that are out. */
function after(scores: Float64Array, ...list: Sampler[]): number[] {
  const c = new Candidates(scores.slice())
  for (const s of list) s(c, nothing)
  const log = c.logSumExp()
  const out = new Array<number>(scores.length).fill(0)
  for (const id of c.ids.subarray(0, c.count)) out[id] = Math.exp(c.scores[id]! - log)
  return out
}

const softmax = (l: Float64Array): number[] => {
  const top = Math.max(...l)
  const e = Array.from(l, (v) => Math.exp(v - top))
  const sum = e.reduce((a, b) => a + b)
  return e.map((v) => v / sum)
}
/** Only `kept`, renormalised. */
const only = (p: readonly number[], kept: ReadonlySet<number>): number[] => {
  const sum = p.reduce((n, v, i) => n + (kept.has(i) ? v : 0), 0)
  return p.map((v, i) => (kept.has(i) ? v / sum : 0))
}
const order = (key: readonly number[]): number[] =>
  key.map((_, i) => i).sort((a, b) => key[b]! - key[a]! || a - b)
/** Of tokens in an order, as few as reach p. */
const reaching = (p: readonly number[], by: readonly number[], mass: number): Set<number> => {
  const kept = new Set<number>()
  let sum = 0
  for (const i of by) {
    if (sum >= mass) break
    kept.add(i)
    sum += p[i]!
  }
  return kept
}

test('the best n come in order, whatever n is, and the first of equal ones first', () => {
  for (const count of [1, 2, 7, 300])
    for (const n of [1, 2, 5, 299, 300, 1000]) {
      const keys = Array.from({ length: 300 }, () => Math.floor(random() * 40))
      const ids = Int32Array.from({ length: 300 }, (_, i) => i)
      const want = order(keys.slice(0, count)).slice(0, n)
      assert.equal([...best(ids, count, n, (id) => keys[id]!)], want)
    }
})

test('top-k, top-p, min-p and typical keep what their definitions keep', () => {
  for (const [n, wide] of [
    [5, 3],
    [400, 3],
    [3000, 0.3],
    [3000, 4],
  ] as const) {
    const l = logits(n, wide)
    const p = softmax(l)
    for (const k of [1, 3, 77])
      assertClose(after(l, samplers.topK(k)), only(p, new Set(order(p).slice(0, k))), 1e-9)
    for (const mass of [0.05, 0.5, 0.9, 0.999]) {
      assertClose(
        after(l, samplers.topP(mass)),
        only(p, reaching(p, order(p), mass)),
        1e-9,
        `top-p ${mass} of ${n}`,
      )
      const entropy = -p.reduce((h, v) => h + v * Math.log(v), 0)
      const typical = order(p.map((v) => -Math.abs(-Math.log(v) - entropy)))
      assertClose(
        after(l, samplers.typicalP(mass)),
        only(p, reaching(p, typical, mass)),
        1e-9,
        `typical ${mass}`,
      )
    }
    for (const m of [0.01, 0.2, 0.9]) {
      const top = Math.max(...p)
      assertClose(
        after(l, samplers.minP(m)),
        only(p, new Set(order(p).filter((i) => p[i]! >= m * top))),
        1e-9,
      )
    }
    assertClose(after(l, samplers.temperature(0.7)), softmax(l.map((v) => v / 0.7)), 1e-9)
  }
})

test('penalties and bias change the scores as documented', () => {
  const history = {
    written: new Map([
      [0, 3],
      [2, 1],
    ]),
    prompt: new Set([2, 3]),
  }
  const of = (s: Sampler): number[] => {
    const c = new Candidates(Float64Array.of(2, 1, -1, 4, -0.5))
    s(c, history)
    return Array.from(c.scores)
  }
  assertClose(of(samplers.repetitionPenalty(2)), [1, 1, -2, 2, -0.5], 1e-12)
  assertClose(of(samplers.presencePenalty(0.5)), [1.5, 1, -1.5, 4, -0.5], 1e-12)
  assertClose(of(samplers.frequencyPenalty(0.5)), [0.5, 1, -1.5, 4, -0.5], 1e-12)
  assertClose(of(samplers.logitBias({ 1: 2.5, 4: -1 })), [2, 3.5, -1, 4, -1.5], 1e-12)
  const c = new Candidates(Float64Array.of(2, 1, 3))
  samplers.logitBias({ 2: -Infinity })(c, nothing)
  assert.is(c.likeliest(), 0)
  assert.is(c.count, 2)
  assertThrows(
    () =>
      samplers.logitBias({ 0: -Infinity, 1: -Infinity, 2: -Infinity })(
        new Candidates(Float64Array.of(2, 1, 3)),
        nothing,
      ),
    ShaktiError,
    'every token',
  )
})

test('samplers come in the documented order, the own ones before the temperature', () => {
  const seen: string[] = []
  const own: Sampler = (c) => void seen.push(`${c.count} of top ${c.scores[c.likeliest()]!}`)
  const l = [1, 2, 4, 8]
  const options = { temperature: 2, topK: 2, logitBias: { 3: 2 }, samplers: [own] }
  const drawn = new Set(Array.from({ length: 50 }, () => sample(l, [], random, options)))
  assert.is(seen[0], '4 of top 10')
  assert.equal([...drawn].sort(), [2, 3])
  const names = (o: object): number => samplersOf(o).length
  assert.is(names({ temperature: 0, topK: 3, topP: 0.5 }), 0)
  assert.is(
    names({ temperature: 1, topK: 3, topP: 0.5, minP: 0.1, typicalP: 0.5, presencePenalty: 1 }),
    5,
  )
})

test('draws follow the probabilities', () => {
  const l = logits(12)
  const p = softmax(l)
  const counts = new Array<number>(12).fill(0)
  const c = new Candidates(l)
  for (let i = 0; i < 40_000; i++) counts[c.draw(random())]! += 1 / 40_000
  assertClose(counts, p, 0.012)
})

test('options out of range are refused by name and value', () => {
  for (const [options, ...parts] of [
    [{ minP: 1 }, 'minP', '1'],
    [{ typicalP: 0 }, 'typicalP', '0'],
    [{ presencePenalty: NaN }, 'presencePenalty', 'NaN'],
    [{ frequencyPenalty: Infinity }, 'frequencyPenalty', 'Infinity'],
    [{ logitBias: { 9: 1 } }, 'logitBias', '9'],
    [{ logitBias: { 0: Infinity } }, 'logitBias[0]', 'Infinity'],
  ] as const)
    assertThrows(() => samplersOf(options, 5), ShaktiError, ...parts)
})

test.run()
