import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gguf } from '@huggingface/gguf'
import { FileFormatError, noGrad, ShaktiError } from '@shakti/tensor'
import {
  architectureOf,
  exportGguf,
  ggufTokenizer,
  nano,
  parseDecoderConfig,
  savePretrained,
  ShaktiVlm,
  type Decoder,
  type ExportOptions,
} from '../src/index.js'
import { f16Bits, quantizeQ4, quantizeQ8 } from '../src/gguf/blocks.js'
import { assert, assertClose, assertThrows, rejects, test } from './assert.js'
import { inFolder } from './folder.js'
import { dequantizeQ4, dequantizeQ8, f16Value } from './blocks.js'
import { randomDecoder } from './randomDecoder.js'

interface Read {
  metadata: Record<string, unknown>
  /** Name to shape (outermost first), ggml_type and elements. */
  tensors: Map<string, { shape: number[]; type: number; values: Float32Array }>
}

/** What Hugging Face's reader finds, and the elements where it says that they lie. */
async function readBack(path: string): Promise<Read> {
  const { metadata, tensorInfos, tensorDataOffset } = await gguf(path, { allowLocalFile: true })
  const file = await readFile(path)
  const tensors: Read['tensors'] = new Map()
  for (const { name, shape, dtype, offset } of tensorInfos) {
    const sizes = shape.map(Number).reverse()
    const n = sizes.reduce((a, b) => a * b, 1)
    const at = Number(tensorDataOffset + offset)
    assert.is(at % 32, 0, `${name} is aligned`)
    const bytes = new Uint8Array(file.subarray(at, at + 4 * n))
    const words = new Uint16Array(bytes.buffer, 0, Math.floor(bytes.length / 2))
    const values: Record<number, () => Float32Array> = {
      0: () => new Float32Array(bytes.buffer, 0, n),
      1: () => Float32Array.from({ length: n }, (_, i) => f16Value(words[i]!)),
      2: () => dequantizeQ4(bytes.subarray(0, (n / 32) * 18)),
      8: () => dequantizeQ8(bytes.subarray(0, (n / 32) * 34)),
      30: () => new Float32Array(Uint32Array.from(words.subarray(0, n), (w) => w << 16).buffer),
    }
    tensors.set(name, { shape: sizes, type: dtype, values: values[dtype]!() })
  }
  return { metadata: metadata as unknown as Record<string, unknown>, tensors }
}

const written = async (source: Decoder, options: ExportOptions): Promise<Read> => {
  let read: Read | undefined
  await inFolder(async (folder) => {
    await exportGguf(source, join(folder, 'a.gguf'), options)
    assert.equal(await readdir(folder), ['a.gguf'])
    read = await readBack(join(folder, 'a.gguf'))
  })
  return read!
}

const values = (m: Decoder, name: string): Float32Array =>
  m.stateDict()[name]!.float().dataSync() as Float32Array

test('every f16 comes back as itself, and numbers between go to the nearer one', () => {
  for (let bits = 0; bits < 0x7c00; bits++) {
    if (f16Bits(f16Value(bits)) !== bits) assert.unreachable(`${bits}`)
    const middle = (f16Value(bits) + f16Value(bits + 1)) / 2
    const even = bits % 2 === 0 ? bits : bits + 1
    if (bits < 0x7bff && f16Bits(middle) !== even) assert.unreachable(`tie above ${bits}`)
  }
  assert.is(f16Bits(-1.5), 0xbe00)
  assert.is(f16Bits(65_520), 0x7c00)
  assert.is(f16Bits(-1e9), 0xfc00)
  assert.is(f16Bits(NaN), 0x7e00)
})

test('quantised blocks are within half a step of what went in', () => {
  const x = Float32Array.from({ length: 32 * 40 }, (_, i) => Math.sin(i * 1.7) * (1 + (i >> 5)))
  const [q8, q4] = [dequantizeQ8(quantizeQ8(x)), dequantizeQ4(quantizeQ4(x))]
  for (let b = 0; b < 40; b++) {
    const part = x.subarray(b * 32, b * 32 + 32)
    const most = Math.max(...part.map(Math.abs))
    part.forEach((v, i) => {
      // The scale itself is rounded to 11 bits.
      assert.ok(Math.abs(q8[b * 32 + i]! - v) <= most / 254 + most / 2048)
      // 4 bits have 16 steps of most / 8; the largest size of the other sign is one step short.
      assert.ok(Math.abs(q4[b * 32 + i]! - v) <= most / 8 + most / 1024)
    })
  }
  assert.equal([...dequantizeQ4(quantizeQ4(new Float32Array(32)))], new Array(32).fill(0))
  // The number of largest size is exact: 8 = -8 * -1.
  const one = new Float32Array(32).fill(1)
  one[5] = 8
  assert.is(dequantizeQ4(quantizeQ4(one))[5], 8)
  assert.is(dequantizeQ4(quantizeQ4(one))[20], 1)
})

test('a file holds the config and the tensors under the names of its architecture', async () => {
  const m = randomDecoder({ kvHeads: 2, ropeTheta: 250_000, tied: true })
  const { metadata, tensors } = await written(m, { type: 'f32' })
  const want = {
    'general.architecture': 'llama',
    'general.file_type': 0,
    'llama.vocab_size': 100,
    'llama.context_length': 256,
    'llama.embedding_length': 64,
    'llama.block_count': 2,
    'llama.feed_forward_length': 96,
    'llama.attention.head_count': 4,
    'llama.attention.head_count_kv': 2,
    'llama.attention.key_length': 16,
    'llama.rope.dimension_count': 16,
    'llama.rope.freq_base': 250_000,
    'tokenizer.ggml.model': 'gpt2',
  }
  for (const [key, value] of Object.entries(want)) assert.is(metadata[key], value, key)
  assert.ok(!tensors.has('output.weight'), 'a tied head is not stored twice')
  assert.equal(tensors.get('blk.1.ffn_down.weight')!.shape, [64, 96])
  assert.equal(
    [...tensors.get('token_embd.weight')!.values],
    [...values(m, 'model.embed_tokens.weight')],
  )
  // Row 2 i of a head is row i of its first half, row 2 i + 1 that of its second: head 1 of the keys, i = 3.
  const k = values(m, 'model.layers.0.self_attn.k_proj.weight')
  const turned = tensors.get('blk.0.attn_k.weight')!.values
  const row = (of: Float32Array, r: number): number[] => [...of.subarray(r * 64, r * 64 + 64)]
  assert.equal(row(turned, 16 + 6), row(k, 16 + 3))
  assert.equal(row(turned, 16 + 7), row(k, 16 + 8 + 3))
})

for (const [type, code, bound] of [
  ['bf16', 30, 2 ** -8],
  ['f16', 1, 2 ** -11],
  ['q8_0', 8, 0.01],
  ['q4_0', 2, 0.15],
] as const) {
  test(`matrices are held as ${type}, norms as f32`, async () => {
    const m = randomDecoder({})
    const { tensors, metadata } = await written(m, { type })
    const down = tensors.get('blk.0.ffn_down.weight')!
    assert.is(down.type, code)
    const most = Math.max(...values(m, 'model.layers.0.mlp.down_proj.weight').map(Math.abs))
    assertClose(down.values, values(m, 'model.layers.0.mlp.down_proj.weight'), bound * most)
    assert.is(tensors.get('output.weight')!.type, type === 'q4_0' ? 8 : code)
    const norm = tensors.get('output_norm.weight')!
    assert.is(norm.type, 0)
    assert.equal([...norm.values], [...values(m, 'model.norm.weight')])
    assert.is(metadata['general.file_type'], { bf16: 32, f16: 1, q8_0: 7, q4_0: 2 }[type])
  })
}

test('a bf16 model is written bit for bit, in many pieces', async () => {
  // 20,000 rows of 128 are 2.56 M numbers, more than one piece.
  const m = randomDecoder({ width: 128, vocab: 20_000 }, { dtype: 'bf16' })
  const { tensors } = await written(m, { type: 'bf16' })
  const got = tensors.get('token_embd.weight')!.values
  assert.equal(
    Buffer.compare(
      Buffer.from(got.buffer),
      Buffer.from(values(m, 'model.embed_tokens.weight').buffer),
    ),
    0,
  )
})

test('windows: the file says which layers have one, and gives each head a sink that takes nothing', async () => {
  const m = randomDecoder({ layers: 4, slidingWindow: 6, globalEvery: 2 })
  const { metadata, tensors } = await written(m, { type: 'f32' })
  assert.is(metadata['general.architecture'], 'granite_swa')
  assert.is(metadata['granite_swa.attention.sliding_window'], 6)
  assert.equal(metadata['granite_swa.attention.sliding_window_pattern'], [1, 0, 1, 0])
  assert.is(metadata['granite_swa.logit_scale'], 1)
  const sink = tensors.get('blk.3.attn_sinks.weight')!
  assert.equal([sink.shape, sink.values[0]], [[4], Math.fround(-1e30)])
})

test('each form of the decoder goes to the architecture that computes it, others are refused by field', () => {
  const config = (change: object) => parseDecoderConfig({ ...randomDecoder({}).config, ...change })
  assert.is(architectureOf(config({})), 'llama')
  assert.is(architectureOf(config({ kvHeads: [2, 2] })), 'llama')
  assert.is(architectureOf(config({ kvHeads: [4, 2] })), 'deci')
  assert.is(architectureOf(config({ attentionBias: true })), 'qwen2')
  assert.is(architectureOf(config({ qkNorm: 'head', headDim: 32 })), 'qwen3')
  const call = (change: object) => () => architectureOf(config(change))
  assert.is(architectureOf(config({ slidingWindow: 8 })), 'granite_swa')
  const windowed = { slidingWindow: 8 }
  assertThrows(call({ ...windowed, kvHeads: [4, 2] }), ShaktiError, 'slidingWindow: 8', 'by layer')
  assertThrows(call({ ...windowed, attentionBias: true }), ShaktiError, 'slidingWindow', 'biases')
  assertThrows(call({ ...windowed, qkNorm: 'head' }), ShaktiError, 'slidingWindow', 'head norms')
  assertThrows(call({ attentionBias: true, qkNorm: 'head' }), ShaktiError, 'attentionBias')
  assertThrows(call({ kvHeads: [4, 2], qkNorm: 'head' }), ShaktiError, 'kvHeads', 'head norms')
  assertThrows(call({ attentionBias: true, headDim: 32 }), ShaktiError, 'headDim', '32', '16')
  assertThrows(
    call({ qkNorm: 'head', ropeScaling: { type: 'by-parts', factor: 8, original: 64 } }),
    ShaktiError,
    'ropeScaling',
    'qwen3',
  )
})

test('scalings are written as llama.cpp reads them', async () => {
  const fields = async (ropeScaling: object): Promise<Read> =>
    written(randomDecoder({ ropeTheta: 10_000, ropeScaling } as never), { type: 'f32' })
  const yarn = (await fields({ type: 'yarn', factor: 4, original: 64, betaFast: 16 })).metadata
  assert.is(yarn['llama.rope.scaling.type'], 'yarn')
  assert.is(yarn['llama.rope.scaling.factor'], 4)
  assert.is(yarn['llama.rope.scaling.original_context_length'], 64)
  assert.is(yarn['llama.rope.scaling.yarn_beta_fast'], 16)
  const ntk = (await fields({ type: 'ntk', factor: 4 })).metadata
  assertClose([ntk['llama.rope.freq_base'] as number], [10_000 * 4 ** (16 / 14)], 1e-6)
  const llama3 = (await fields({ type: 'by-parts', factor: 8, original: 64 })).tensors
  const factors = llama3.get('rope_freqs.weight')!.values
  assert.is(factors.length, 8)
  assert.is(factors[0], 1)
  assertClose([factors[7]!], [8], 1e-6)
})

const tokenizerJson = (change: object = {}, model: object = {}): object => ({
  added_tokens: [
    { id: 6, content: '<|end|>', special: true },
    { id: 7, content: '<tool>', special: false },
  ],
  normalizer: null,
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      {
        type: 'Split',
        pattern: {
          Regex:
            "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        },
        behavior: 'Isolated',
        invert: false,
      },
      { type: 'ByteLevel', use_regex: false },
    ],
  },
  post_processor: null,
  decoder: { type: 'ByteLevel' },
  ...change,
  model: {
    type: 'BPE',
    vocab: { a: 0, b: 1, Ġ: 2, ab: 3, Ġab: 4 },
    merges: ['a b', ['Ġ', 'ab']],
    ...model,
  },
})

test('a tokenizer.json becomes llama.cpp’s keys, filled up to the vocabulary', async () => {
  const tokenizer = ggufTokenizer(tokenizerJson(), {
    eos_token: { content: '<|end|>' },
    chat_template: '{{ messages }}',
  })
  assert.equal(tokenizer.notes, [])
  const { metadata } = await written(randomDecoder({ vocab: 10 }), { type: 'f32', tokenizer })
  assert.is(metadata['tokenizer.ggml.pre'], 'llama-bpe')
  assert.equal(metadata['tokenizer.ggml.tokens'], [
    ...['a', 'b', 'Ġ', 'ab', 'Ġab', '[unused 5]', '<|end|>', '<tool>', '[unused 8]', '[unused 9]'],
  ])
  assert.equal(metadata['tokenizer.ggml.token_type'], [1, 1, 1, 1, 1, 5, 3, 4, 5, 5])
  assert.equal(metadata['tokenizer.ggml.merges'], ['a b', 'Ġ ab'])
  assert.is(metadata['tokenizer.ggml.eos_token_id'], 6)
  assert.is(metadata['tokenizer.ggml.add_bos_token'], false)
  assert.is(metadata['tokenizer.chat_template'], '{{ messages }}')
})

test('what llama.cpp does otherwise than the tokenizer is said, what it cannot do refused', () => {
  const other = ggufTokenizer(
    tokenizerJson({ pre_tokenizer: null, normalizer: { type: 'NFC' } }, { ignore_merges: true }),
  )
  assert.is(other.pre, 'default')
  assert.is(other.notes.length, 3)
  assert.is(ggufTokenizer(tokenizerJson({ pre_tokenizer: { type: 'ByteLevel' } })).pre, 'gpt-2')
  const first = ggufTokenizer(
    tokenizerJson({
      post_processor: {
        type: 'Sequence',
        processors: [
          { type: 'ByteLevel' },
          { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<|end|>' } }] },
        ],
      },
    }),
  )
  assert.equal([first.bos, first.addBos], [6, true])
  const call =
    (change: object, model: object = {}) =>
    () =>
      ggufTokenizer(tokenizerJson(change, model))
  assertThrows(call({}, { type: 'Unigram' }), FileFormatError, 'model.type', 'Unigram')
  assertThrows(call({ decoder: null }), FileFormatError, 'decoder')
  assertThrows(call({}, { vocab: { a: -1 } }), FileFormatError, 'model.vocab', '-1')
  assertThrows(call({}, { vocab: { a: 1e12 } }), FileFormatError, 'model.vocab')
  assertThrows(call({}, { merges: [5] }), FileFormatError, 'model.merges', '5')
})

test('what cannot be exported is refused before a file is there, and a failure leaves none', async () => {
  await inFolder(async (folder) => {
    const file = join(folder, 'a.gguf')
    const m = randomDecoder({ ffn: 80 })
    await rejects(exportGguf(m, file, { type: 'q8_0' }), ShaktiError, 'ffn_down', '80', '32')
    await rejects(exportGguf(m, file, { type: 'q5_K' as never }), ShaktiError, 'q5_K', 'q4_0')
    const tokenizer = ggufTokenizer(tokenizerJson())
    await rejects(
      exportGguf(randomDecoder({ vocab: 4 }), file, { type: 'f32', tokenizer }),
      ShaktiError,
      '8 tokens',
      'vocabulary of 4',
    )
    const large = randomDecoder({})
    noGrad(() => large.model.layers.at(1).attn.outProj.weight.narrow(0, 3, 1).mul_(1e6))
    await rejects(
      exportGguf(large, file, { type: 'f16' }),
      ShaktiError,
      'blk.1.attn_output',
      '65,504',
    )
    noGrad(() => large.model.layers.at(1).attn.outProj.weight.narrow(0, 3, 1).mul_(NaN))
    await rejects(
      exportGguf(large, file, { type: 'q8_0' }),
      ShaktiError,
      'blk.1.attn_output',
      'finite',
    )
    const abort = new AbortController()
    const stopped = exportGguf(m, file, {
      type: 'f32',
      signal: abort.signal,
      onProgress: (done) => done > 20_000 && abort.abort(new Error('enough')),
    })
    await rejects(stopped, Error, 'enough')
    await rejects(
      exportGguf(join(folder, 'none'), file, { type: 'f32' }),
      ShaktiError,
      'config.json',
    )
    assert.equal(await readdir(folder), [])
  })
})

test('a Shakti-VLM and its folder give the same file, progress runs to its end', async () => {
  await inFolder(async (folder) => {
    const m = new ShaktiVlm({
      ...nano,
      decoder: { ...nano.decoder, width: 64, heads: 4, kvHeads: [4, 2] },
    })
    const seen: number[] = []
    const report = await exportGguf(m, join(folder, 'a.gguf'), {
      type: 'f16',
      onProgress: (done, total) => seen.push(done / total),
    })
    assert.is(report.architecture, 'deci')
    assert.is(seen.at(-1), 1)
    assert.ok(report.notes.join().includes('placeholder'))
    const saved = join(folder, 'saved')
    await savePretrained(m, saved)
    await writeFile(join(saved, 'tokenizer.json'), JSON.stringify(tokenizerJson()))
    await exportGguf(saved, join(folder, 'b.gguf'), { type: 'f16' })
    const [a, b] = [await readBack(join(folder, 'a.gguf')), await readBack(join(folder, 'b.gguf'))]
    assert.is(b.metadata['tokenizer.ggml.pre'], 'llama-bpe')
    assert.equal([...a.tensors.keys()], [...b.tensors.keys()])
    for (const [name, { values: x }] of a.tensors)
      assert.equal(x, b.tensors.get(name)!.values, name)
  })
})

test.run()
