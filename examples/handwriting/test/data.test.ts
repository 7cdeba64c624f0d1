// The handwriting task's data: official splits kept apart, answers true to the scene, everything a function of its seed.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { loadDigits, parseIdx } from '../src/data/mnist.js'
import {
  askQuestion,
  chanceLevels,
  phrasings,
  questionTypes,
  textDialogue,
  word,
} from '../src/data/questions.js'
import { Random } from '../src/data/random.js'
import { composeScene, drawScene, height, inks, inkNames, width } from '../src/data/scenes.js'

const train = await loadDigits('train')
const held = await loadDigits('test')

test('the official split is read whole: 60,000 and 10,000 digits with the known first labels', () => {
  assert.is(train.length, 60_000)
  assert.is(held.length, 10_000)
  assert.equal([...train.labels.subarray(0, 5)], [5, 0, 4, 1, 9])
  assert.equal([...held.labels.subarray(0, 5)], [7, 2, 1, 0, 4])
})

test('no picture of the test split is in the training split', () => {
  const seen = new Set<string>()
  for (let i = 0; i < train.length; i++) seen.add(Buffer.from(train.image(i)).toString('latin1'))
  let twins = 0
  for (let i = 0; i < held.length; i++)
    if (seen.has(Buffer.from(held.image(i)).toString('latin1'))) twins++
  assert.is(twins, 0)
})

test('IDX files that lie about their length or type are refused', () => {
  const header = (kind: number, n: number): Uint8Array =>
    Uint8Array.from([0, 0, kind, 1, 0, 0, 0, n, 1, 2, 3])
  assert.equal([...parseIdx(header(8, 3), 'x').data], [1, 2, 3])
  assert.throws(() => parseIdx(header(8, 4), 'x'), /its header says 4/)
  assert.throws(() => parseIdx(header(9, 3), 'x'), /not an IDX file of bytes/)
  assert.throws(() => parseIdx(Uint8Array.from([0, 0, 8, 200, 0]), 'x'), /cut off/)
  assert.throws(() => parseIdx(new Uint8Array(0), 'x'), /not an IDX/)
})

test('a scene and its pixels depend on the seed alone', () => {
  const draw = (seed: number): Uint8Array => {
    const random = new Random(seed, 2, 7)
    return drawScene(composeScene(random), random, { digits: train, augment: true })
  }
  assert.equal(draw(1), draw(1))
  assert.not.equal(draw(1), draw(2))
  assert.is(draw(1).length, height * width * 3)
})

test('each half of the picture is painted in the ink that the scene names', () => {
  for (const left of inkNames) {
    const right = inkNames[(inkNames.indexOf(left) + 1) % inkNames.length]!
    const random = new Random(3, inkNames.indexOf(left))
    const pixels = drawScene(
      { left: { digit: 8, ink: left }, right: { digit: 0, ink: right } },
      random,
      { digits: held, augment: false },
    )
    for (const [half, ink] of [
      [0, left],
      [1, right],
    ] as const) {
      // The darkest pixel of a half is full ink; it must lie nearest to the named colour.
      let best = [255, 255, 255]
      for (let y = 0; y < height; y++) {
        for (let x = half * 28; x < half * 28 + 28; x++) {
          const p = [...pixels.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)]
          if (p[0]! + p[1]! + p[2]! < best[0]! + best[1]! + best[2]!) best = p
        }
      }
      const distance = (name: keyof typeof inks): number =>
        inks[name].reduce((s, c, k) => s + (c - best[k]!) ** 2, 0)
      assert.is(
        inkNames.reduce((a, b) => (distance(b) < distance(a) ? b : a)),
        ink,
      )
    }
  }
})

test('answers follow from the scene', () => {
  const random = new Random(5)
  const answers = (scene: Parameters<typeof askQuestion>[0]): Record<string, string> =>
    Object.fromEntries(
      questionTypes
        .filter((t) => t !== 'colour')
        .map((t) => [t, askQuestion(scene, t, random).answer]),
    )
  assert.equal(answers({ left: { digit: 4, ink: 'red' }, right: { digit: 9, ink: 'blue' } }), {
    left: 'four', right: 'nine', larger: 'right', sum: 'thirteen', number: 'four nine',
  }) // prettier-ignore
  assert.equal(answers({ left: { digit: 6, ink: 'red' }, right: { digit: 6, ink: 'blue' } }), {
    left: 'six', right: 'six', larger: 'equal', sum: 'twelve', number: 'six six',
  }) // prettier-ignore
  for (let i = 0; i < 20; i++) {
    const q = askQuestion(
      { left: { digit: 1, ink: 'red' }, right: { digit: 2, ink: 'blue' } },
      'colour',
      random,
    )
    assert.is(q.answer, q.text.includes('left') ? 'red' : 'blue')
  }
  assert.throws(() => word(19), /no word/)
})

test('the held-out phrasing of each type never occurs in training questions or text', () => {
  const random = new Random(9)
  const withheld = questionTypes.flatMap((t) =>
    ['left', 'right'].map((side) => phrasings[t].at(-1)!.replace('{side}', side)),
  )
  for (let i = 0; i < 2000; i++) {
    const scene = composeScene(random)
    for (const type of questionTypes)
      assert.not.ok(withheld.includes(askQuestion(scene, type, random).text))
    for (const turn of textDialogue(1, i).turns) assert.not.ok(withheld.includes(turn.user))
  }
})

test('chance levels are those of the best constant answer', () => {
  const random = new Random(11)
  const counts = new Map<string, Map<string, number>>(
    questionTypes.map((t) => [t, new Map<string, number>()]),
  )
  const n = 40_000
  for (let i = 0; i < n; i++) {
    const scene = composeScene(random)
    for (const type of questionTypes) {
      const { answer } = askQuestion(scene, type, random)
      const of = counts.get(type)!
      of.set(answer, (of.get(answer) ?? 0) + 1)
    }
  }
  for (const type of questionTypes) {
    const best = Math.max(...counts.get(type)!.values()) / n
    assert.ok(
      Math.abs(best - chanceLevels[type]) < 0.012,
      `${type}: ${best} against ${chanceLevels[type]}`,
    )
  }
})

test.run()
