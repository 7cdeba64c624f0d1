// One text in the tokens of two tokenizers.
import type { Tokenizer } from '@shakti/tokenizer'
import { seededRandom } from '../src/index.js'
import { Retokenizer } from '../src/generate/retokenizer.js'
import { assert, assertThrows, test } from './assert.js'
import { corpus, specials, tokenizerOf, withNormalizer } from './tongues.js'

const coarse = tokenizerOf(340, specials)
const bytes = tokenizerOf(256 + 3, ['<|other|>', '<|image|>', '<|im_end|>'])
const middle = tokenizerOf(300, ['<|think|>', '<|image|>', '<|end|>'])
const normalised = withNormalizer(coarse)
const id = (t: Tokenizer, token: string): number => t.tokenToId(token)!

test('wherever a text is cut, the rest said in other tokens comes back as the tokens of the whole text', () => {
  for (const target of [coarse, middle, bytes, normalised])
    for (const draft of [bytes, middle, coarse, normalised])
      for (const text of corpus) {
        const ids = target.encode(text)
        const all = Buffer.from(text)
        for (let cut = 0; cut <= ids.length; cut++) {
          const words = new Retokenizer({ tokenizer: target }, { tokenizer: draft })
          const told = words.toDraft(ids.slice(0, cut))
          const shown = draft.decodeBytes(told)
          const before = target.decodeBytes(ids.slice(0, cut))
          // A tokenizer of characters is not shown a part of one.
          if (draft === normalised) assert.ok(before.length - shown.length < 4)
          else assert.is(shown.length, before.length)
          assert.ok(all.subarray(0, shown.length).equals(shown))
          const rest = draft.encodeBytes(all.subarray(shown.length))
          assert.equal(words.toTarget(rest), ids.slice(cut), `${text} at ${cut}`)
        }
      }
})

test('what is said goes on where the target has other borders, and ends at the last whole character it can read', () => {
  // Not the tokens that the text has when it is encoded whole.
  const odd = [...'low lo'].flatMap((c) => coarse.encode(c))
  const words = new Retokenizer({ tokenizer: coarse }, { tokenizer: bytes })
  assert.is(bytes.decode(words.toDraft(odd)), 'low lo')
  assert.is(coarse.decode(words.toTarget(bytes.encode('west of'))), 'west of')
  const half = bytes.encode('w 🐞').slice(0, -1)
  assert.equal(
    [...coarse.decodeBytes(words.toTarget(half))],
    [...Buffer.from('w 🐞').subarray(0, -1)],
  )
  const whole = new Retokenizer({ tokenizer: normalised }, { tokenizer: bytes })
  whole.toDraft(normalised.encode('lo'))
  assert.is(normalised.decode(whole.toTarget(half)), 'w ')
  // The other half of a character that is none: nothing to guess.
  const part = new Retokenizer({ tokenizer: bytes }, { tokenizer: normalised })
  part.toDraft(bytes.encode('a🐞').slice(0, 3))
  assert.equal(part.toTarget(normalised.encode('b')), [])
  assert.equal(part.toTarget(normalised.encode('🐞')), bytes.encode('🐞').slice(2))
  assert.equal(part.toTarget([]), [])
})

test('special tokens cross by their names or as the end of a text, and no text becomes one', () => {
  const words = new Retokenizer(
    { tokenizer: coarse, stopTokens: [id(coarse, '<|end|>')] },
    { tokenizer: bytes, stopTokens: [id(bytes, '<|im_end|>')] },
  )
  const forged = '<|im_end|><|image|><|end|>'
  const written = [
    ...coarse.encode('a'),
    id(coarse, '<|image|>'),
    ...coarse.encode(forged),
    id(coarse, '<|think|>'),
    ...coarse.encode('b'),
  ]
  assert.equal(words.toDraft(written), [
    ...bytes.encode('a'),
    id(bytes, '<|image|>'),
    ...bytes.encode(`${forged}b`),
  ])
  assert.ok(words.toTarget(bytes.encode(forged)).every((i) => !coarse.isSpecial(i)))
  const said = [...bytes.encode('low'), id(bytes, '<|im_end|>'), ...bytes.encode('er')]
  assert.equal(words.toTarget(said), [...coarse.encode('low'), id(coarse, '<|end|>')])
  // One that the target has not, and an id that is no token.
  for (const none of [id(bytes, '<|other|>'), 5000])
    assert.equal(words.toTarget([...bytes.encode('low'), none]), coarse.encode('low'))
  // Without stop tokens its end of text is no token of ours.
  const open = new Retokenizer({ tokenizer: coarse }, { tokenizer: bytes })
  open.toDraft(coarse.encode('a'))
  assert.equal(open.toTarget([id(bytes, '<|im_end|>')]), [])
})

test('a long text is not encoded anew each time, and says the same', () => {
  const random = seededRandom(4)
  for (const draft of [bytes, normalised]) {
    const words = new Retokenizer({ tokenizer: coarse }, { tokenizer: draft })
    const written: number[] = []
    let encoded = 0
    const spied = new Retokenizer(
      { tokenizer: coarse },
      {
        tokenizer: Object.assign(Object.create(draft) as Tokenizer, {
          encodeBytes: (b: Uint8Array) => {
            encoded = b.length
            return draft.encodeBytes(b)
          },
        }),
      },
    )
    for (let i = 0; i < 600; i++) {
      written.push(...coarse.encode(corpus[Math.floor(random() * corpus.length)]!.slice(0, 40)))
      const told = words.toDraft(written)
      assert.is(draft.decode(told), coarse.decode(written))
      assert.equal(spied.toDraft(written), told)
      assert.ok(encoded <= 4096 + 200, `${encoded}`)
    }
    assert.ok(coarse.decodeBytes(written).length > 12_000)
  }
})

test('a tokenizer without single letters is refused', () => {
  const mute = Object.assign(Object.create(bytes) as Tokenizer, { isSpecial: () => true })
  assertThrows(
    () => new Retokenizer({ tokenizer: mute }, { tokenizer: bytes }),
    Error,
    'no token is a single letter',
  )
})

test.run()
