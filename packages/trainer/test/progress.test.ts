import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createProgress, type Progress } from '../src/index.js'
import { duration } from '../src/progress.js'

/** What is written to standard error while `fn` runs, on a terminal or not. */
function written(isTTY: boolean, fn: (progress: Progress) => void, quiet = false): string {
  const { write, isTTY: was } = process.stderr
  let text = ''
  process.stderr.isTTY = isTTY
  process.stderr.write = ((chunk: unknown) => {
    text += String(chunk)
    return true
  }) as typeof process.stderr.write
  try {
    const progress = createProgress({ quiet })
    fn(progress)
    progress.stop()
  } finally {
    process.stderr.write = write
    process.stderr.isTTY = was
  }
  return text
}

const at = (step: number) => ({
  stage: 'language',
  step,
  steps: 200,
  loss: 0.51234,
  lr: 3e-3,
  tokensPerSecond: 41_234,
  eta: 75,
})

test('away from a terminal there is a first line, a last one, and none for every step between', () => {
  const lines = written(false, (p) => [1, 2, 3, 200].forEach((step) => p.update(at(step))))
    .trim()
    .split('\n')
  assert.equal(lines, [
    'language 1/200 · loss 0.512 · lr 3.0e-3 · 41.2k tokens/s · 1 min 15 s left',
    'language 200/200 · loss 0.512 · lr 3.0e-3 · 41.2k tokens/s · 1 min 15 s left',
  ])
})

test('notes are lines of their own; a quiet run writes nothing at all', () => {
  assert.is(
    written(false, (p) => p.note('warning: flat')),
    'warning: flat\n',
  )
  assert.match(
    written(true, (p) => p.note('warning: flat')),
    /warning: flat\n$/,
  )
  const all = (p: Progress): void => {
    p.update(at(1))
    p.note('warning: flat')
  }
  assert.is(written(false, all, true), '')
})

test('durations are read at a glance', () => {
  assert.equal([4.4, 75, 7265, Infinity, NaN].map(duration), [
    '4 s',
    '1 min 15 s',
    '2 h 1 min',
    '?',
    '?',
  ])
})

test.run()
