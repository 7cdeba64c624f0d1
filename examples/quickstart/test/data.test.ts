// The demo task's data: artists, splits that keep the unseen unseen, answers that are true of the scene.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { artists, loadDrawings, side, type Artist, type Drawings } from '../src/data/artists.js'
import { concepts, heldOutConcepts, kinds, withArticle } from '../src/data/concepts.js'
import { corpusText, questionsAbout, textDialogue } from '../src/data/corpus.js'
import {
  allAnswers,
  askQuestion,
  caption,
  chanceLevels,
  phrasings,
  taughtTypes,
} from '../src/data/questions.js'
import { Random } from '../src/data/random.js'
import { composeScene, drawScene, papers, size, type Scene } from '../src/data/scenes.js'

const folder = await mkdtemp(join(tmpdir(), 'shakti-drawings-'))
const cache = join(folder, 'drawings.bin')
const drawings = await loadDrawings(cache)
test.after(() => rm(folder, { recursive: true }))

const everything = [...concepts, ...heldOutConcepts]
const find = (name: string): (typeof concepts)[number] => everything.find((c) => c.name === name)!
const scene: Scene = { paper: 'pink', cells: [find('fish'), undefined, find('car'), find('fish')] }

test('seven artists drew every concept, one nearly all; no two drawings of a concept are alike', () => {
  for (const { name } of everything) {
    const seen = new Set<string>()
    let all = 0
    for (const artist of artists) {
      const pictures = drawings.of(artist, name)
      if (artist !== 'streamline-emojis')
        assert.ok(pictures.length > 0, `${artist} has no '${name}'`)
      for (const picture of pictures) {
        all++
        assert.is(picture.length, side * side * 4)
        let inked = 0
        for (let i = 3; i < picture.length; i += 4) if (picture[i]! > 128) inked++
        assert.ok(inked > side * side * 0.05, `${artist} draws '${name}' on ${inked} pixels`)
        seen.add(Buffer.from(picture).toString('latin1'))
      }
    }
    assert.is(seen.size, all, name)
  }
  const lacking = everything.filter((c) => drawings.of('streamline-emojis', c.name).length === 0)
  assert.equal(
    lacking.map((c) => c.name),
    ['banana', 'pineapple', 'trophy'],
  )
  assert.equal(drawings.of('noto', 'unicorn'), [])
})

test('a thing that none of the artists drew is refused by name', () => {
  const bananas: Scene = {
    paper: 'pink',
    cells: [find('banana'), undefined, undefined, undefined],
  }
  assert.throws(
    () =>
      drawScene(bananas, drawings, new Random(1), {
        artists: ['streamline-emojis'],
        augment: false,
      }),
    /no drawing of 'banana' by streamline-emojis/,
  )
})

test('the cache gives the same drawings, and one that is damaged is made again', async () => {
  const again = await loadDrawings(cache)
  assert.equal(again.of('fxemoji', 'fish'), drawings.of('fxemoji', 'fish'))
  const bytes = await readFile(cache)
  await writeFile(cache, bytes.subarray(0, 1000))
  const remade = await loadDrawings(cache)
  assert.equal(remade.of('openmoji', 'bell'), drawings.of('openmoji', 'bell'))
  assert.ok((await readFile(cache)).equals(bytes))
})

test('concepts have distinct names and the same number of each kind', () => {
  assert.is(new Set(everything.map((c) => c.name)).size, everything.length)
  for (const list of [concepts, heldOutConcepts]) {
    for (const kind of kinds)
      assert.is(list.filter((c) => c.kind === kind).length, list.length / kinds.length)
  }
})

/** Drawings that note which were asked for. */
function watched(): { drawings: Drawings; asked: Set<string> } {
  const asked = new Set<string>()
  const of = (artist: Artist, concept: string): readonly Uint8Array[] => {
    asked.add(`${artist}/${concept}`)
    return drawings.of(artist, concept)
  }
  return { drawings: { of } as Drawings, asked }
}

test('training scenes never touch a picture of the held-out artist or of a held-out concept', () => {
  const held = 'emojione'
  const { drawings: noted, asked } = watched()
  for (let i = 0; i < 1500; i++) {
    const random = new Random(1, 2, i)
    drawScene(composeScene(random), noted, random, {
      artists: artists.filter((a) => a !== held),
      augment: true,
    })
  }
  for (const name of asked) {
    assert.is.not(name.split('/')[0], held)
    assert.not.ok(heldOutConcepts.some((c) => c.name === name.split('/')[1]))
  }
  assert.is(asked.size, 7 * concepts.length)
})

test('a scene and its pixels depend on the seed alone', () => {
  const draw = (seed: number): Uint8Array => {
    const random = new Random(seed, 2, 5)
    return drawScene(composeScene(random), drawings, random, { artists, augment: true })
  }
  assert.equal(draw(1), draw(1))
  assert.not.equal(draw(1), draw(2))
  assert.is(draw(1).length, size * size * 3)
  const dialogues = (seed: number): unknown[] =>
    Array.from({ length: 50 }, (_, i) => textDialogue(seed, i))
  assert.equal(dialogues(1), dialogues(1))
  assert.not.equal(dialogues(1), dialogues(2))
  assert.equal([...corpusText(1, 20)], [...corpusText(1, 20)])
})

test('a quarter of the cells is empty, and no scene is', () => {
  let empty = 0
  const n = 4000
  for (let i = 0; i < n; i++) {
    const { cells } = composeScene(new Random(2, i))
    assert.is(cells.length, 4)
    assert.ok(cells.some(Boolean))
    empty += cells.filter((c) => !c).length
  }
  assert.ok(Math.abs(empty / (4 * n) - 0.25) < 0.015, String(empty / (4 * n)))
})

test('a drawing lies in its own cell and the paper has its named colour elsewhere', () => {
  const pixels = drawScene(scene, drawings, new Random(4), { artists: ['noto'], augment: false })
  const off = (x0: number, y0: number): number => {
    let worst = 0
    for (let y = y0; y < y0 + 24; y++) {
      for (let x = x0; x < x0 + 24; x++) {
        papers.pink.forEach(
          (c, k) => (worst = Math.max(worst, Math.abs(pixels[(y * size + x) * 3 + k]! - c))),
        )
      }
    }
    return worst
  }
  assert.ok(off(24, 0) <= 12, `empty cell is off its paper by ${off(24, 0)}`)
  for (const [x, y] of [
    [0, 0],
    [0, 24],
    [24, 24],
  ] as const)
    assert.ok(off(x, y) > 60)
})

test('answers follow from the scene', () => {
  const seen = new Set<string>()
  for (let i = 0; i < 400; i++) {
    const random = new Random(6, i)
    for (const type of taughtTypes) {
      const q = askQuestion(scene, type, random)!
      seen.add(
        `${q.text.replace(/^.*?(top left|top right|bottom left|bottom right|left of|right of|above|below)/, '$1')} ${q.answer}`,
      )
      if (type === 'count') assert.is(q.answer, 'three')
      if (type === 'paper') assert.is(q.answer, 'pink')
      if (type === 'exists') assert.is(q.answer, /a fish|a car/.test(q.text) ? 'yes' : 'no')
      if (type === 'relation' || type === 'where') assert.match(q.text, 'the car') // two fish: "left of the fish" would be ambiguous
      assert.ok(allAnswers.includes(q.answer), q.answer)
    }
  }
  for (const want of [
    'top left? a fish',
    'top right? nothing',
    'bottom left? a car',
    'bottom right? an animal',
    'above the car? top left: a fish',
    'right of the car? bottom right: a fish',
    'where is the car? bottom left',
  ]) {
    assert.ok(seen.has(want), `${want} not among ${[...seen].join(' | ')}`)
  }
  assert.is(
    caption(scene),
    'pink paper. top left: a fish. top right: nothing. bottom left: a car. bottom right: a fish.',
  )
})

test('yes and no are balanced, and a yes is never asked about an absent thing', () => {
  let yes = 0
  const n = 4000
  for (let i = 0; i < n; i++) {
    const random = new Random(8, i)
    const s = composeScene(random)
    const q = askQuestion(s, 'exists', random)!
    const there = s.cells.some((c) => c && new RegExp(`${withArticle(c.name)}\\b`).test(q.text))
    assert.is(q.answer, there ? 'yes' : 'no', `${q.text} of ${caption(s)}`)
    if (there) yes++
  }
  assert.ok(Math.abs(yes / n - 0.5) < 0.03, String(yes / n))
})

test("the held-out phrasings and the pictures' held-out concepts stay out of training questions and text", () => {
  const pattern = (phrase: string): RegExp =>
    new RegExp(`^${phrase.replace(/[?.]/g, '\\$&').replace(/\{\w+\}/g, '.+')}$`)
  const withheld = taughtTypes.map((t) => pattern(phrasings[t].at(-1)!))
  for (let i = 0; i < 2000; i++) {
    const random = new Random(1, 2, i)
    const asked = questionsAbout(composeScene(random), 4, random).map((q) => q.text)
    for (const text of [...asked, ...textDialogue(1, i).turns.map((t) => t.user)]) {
      assert.not.ok(
        withheld.some((p) => p.test(text)),
        text,
      )
    }
  }
  const held = askQuestion(scene, 'name', new Random(1), 'held out')!
  assert.ok(withheld.some((p) => p.test(held.text)))
})

test('chance levels are the best constant answer: half for yes/no, far less for names', () => {
  const chance = chanceLevels()
  assert.ok(Math.abs(chance.exists - 0.5) < 0.03)
  assert.ok(chance.name > 0.22 && chance.name < 0.28) // a quarter of the cells is empty: "nothing"
  assert.ok(chance.kind > 0.18 && chance.kind < 0.25)
  assert.ok(Math.abs(chance.paper - 1 / 6) < 0.03)
})

test.run()
