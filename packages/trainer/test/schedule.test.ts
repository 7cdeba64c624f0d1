import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { constant, cosine, linear, wsd, type Schedule } from '../src/index.js'
import { matches } from '../src/index.js'
import { assertClose } from './tiny.js'

const curve = (s: Schedule, steps: number): number[] =>
  Array.from({ length: steps }, (_, i) => s(i, steps))

test('warm-up rises in a straight line and never wastes a step at zero', () => {
  assertClose(curve(constant({ warmup: 4 }), 6), [0.25, 0.5, 0.75, 1, 1, 1])
  assertClose(curve(constant({ warmup: 0.5 }), 4), [0.5, 1, 1, 1])
})

test('cosine goes from 1 over the middle to its final value at the last step', () => {
  assertClose(curve(cosine({ final: 0.1 }), 5), [
    1,
    0.1 + 0.9 * 0.8535534,
    0.55,
    0.1 + 0.9 * 0.1464466,
    0.1,
  ])
  const warmed = curve(cosine({ warmup: 2, final: 0 }), 7)
  assertClose(warmed, [0.5, 1, 1, 0.8535534, 0.5, 0.1464466, 0])
})

test('linear falls evenly', () => {
  assertClose(curve(linear(), 5), [1, 0.75, 0.5, 0.25, 0])
  assertClose(curve(linear({ final: 0.5 }), 3), [1, 0.75, 0.5])
})

test('warm-up, stable, decay', () => {
  assertClose(curve(wsd({ warmup: 2, decay: 4 }), 10), [0.5, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0])
  assertClose(curve(wsd({ decay: 0.2, final: 0.5 }), 10), [1, 1, 1, 1, 1, 1, 1, 1, 0.75, 0.5])
})

test('a stage of one step, and one all of warm-up, stay finite', () => {
  for (const s of [constant(), cosine(), linear(), wsd(), cosine({ warmup: 10 })]) {
    for (const steps of [1, 2]) for (const v of curve(s, steps)) assert.ok(v >= 0 && v <= 1, `${v}`)
  }
})

test('senseless numbers are refused', () => {
  assert.throws(() => constant({ warmup: -1 }), /warmup is -1/)
  assert.throws(() => wsd({ decay: NaN }), /decay is NaN/)
})

test('a pattern fits whole names, with stars for anything', () => {
  const cases: [string, string, boolean][] = [
    ['vision.blocks.3.weight', 'vision.*', true],
    ['vision', 'vision.*', true],
    ['visions.a', 'vision.*', false],
    ['decoder.layers.3.attn.qProj.weight', '*.qProj.*', true],
    ['decoder.layers.3.attn.qProj.weight', 'decoder.*.attn.*', true],
    ['a.b', 'a.b', true],
    ['a.b.c', 'a.b', false],
    ['ab', 'ab*b', false],
    ['anything', '*', true],
  ]
  for (const [name, pattern, want] of cases)
    assert.is(matches(name, pattern), want, `${name} ~ ${pattern}`)
})

test.run()
