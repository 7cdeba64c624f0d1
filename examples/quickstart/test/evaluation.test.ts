import { tensor, zeros, type Tensor } from '@shakti/tensor'
import { Tokenizer } from '@shakti/tokenizer'
import type { ShaktiVlm } from '@shakti/vlm'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { corpusText } from '../src/data/corpus.js'
import { taughtTypes } from '../src/data/questions.js'
import { scoreInWords } from '../src/evaluation.js'
import { recipe } from '../src/recipe.js'
import type { Batch, Materials } from '../src/stages.js'
import { ChatEncoder } from '../src/tokens.js'

const tokenizer = Tokenizer.train(corpusText(1, 400), { vocabSize: recipe.vocabulary })
const m: Materials = {
  recipe,
  chat: new ChatEncoder(tokenizer),
  drawings: undefined as never,
  artists: [],
}

/** Says with certainty what `say` gives for the token at a place. */
function oracle(say: (batch: Batch, at: number) => number): ShaktiVlm {
  const { vocabSize } = tokenizer
  return {
    place: (batch: Batch) => batch,
    embed(batch: Batch): Tensor {
      const logits = new Float32Array(batch.ids.length * vocabSize)
      for (let at = 0; at < batch.ids.length; at++) logits[at * vocabSize + say(batch, at)] = 1
      return tensor(logits, { shape: [batch.rows, batch.length, vocabSize] })
    },
    decoder: { embed: () => zeros([1]), forward: (x: Tensor) => x },
    logits: (x: Tensor) => x,
  } as unknown as ShaktiVlm
}

test('in words, who knows every next token answers all, and one wrong token is a wrong answer', async () => {
  const all = await scoreInWords(
    oracle(({ ids }, at) => ids[at + 1] ?? 0),
    m,
    20,
  )
  assert.equal(Object.keys(all), [...taughtTypes])
  for (const type of taughtTypes) assert.is(all[type], 1, type)
  // Knows all but where an answer ends.
  const endless = await scoreInWords(
    oracle(({ ids }, at) => (ids[at + 1] === m.chat.end ? m.chat.pad : (ids[at + 1] ?? 0))),
    m,
    20,
  )
  for (const type of taughtTypes) assert.is(endless[type], 0, type)
})

test.run()
