import {
  chunkLength,
  chunks,
  imageChunk,
  PromptError,
  splice,
  truncateChunks,
  type EncodedImage,
} from '../src/index.js'
import { assert, assertThrows, test } from './assert.js'

const image = (height: number, width: number, value = 0): EncodedImage => ({
  height,
  width,
  patch: 4,
  pixels: new Float32Array(height * width * 3).fill(value),
})
const options = { imageToken: 5, merge: 2 }
const [a, b] = [image(16, 16), image(8, 16, 1)]

test('a prompt becomes text and images in their order, each image knowing its grid and its tokens', () => {
  const list = chunks([1, 5, 2, 3, 5], [a, b], options)
  assert.equal(
    list.map((c) => (c.kind === 'text' ? c.ids : [c.grid, c.tokens, c.patch])),
    [[1], [[4, 4], 4, 4], [2, 3], [[2, 4], 2, 4]],
  )
  assert.is(chunkLength(list), 9)
  const { ids, images, spans } = splice(list, options)
  assert.equal(Array.from(ids), [1, 5, 5, 5, 5, 2, 3, 5, 5])
  assert.equal(spans, [
    { start: 1, end: 5 },
    { start: 7, end: 9 },
  ])
  assert.equal(images, [a, b])
})

test('equal images have equal hashes, others have others', () => {
  assert.is(imageChunk(image(8, 16), 2).hash, imageChunk(image(8, 16), 2).hash)
  assert.is.not(imageChunk(image(8, 16), 2).hash, imageChunk(image(16, 8), 2).hash)
  assert.is.not(imageChunk(image(8, 16), 2).hash, imageChunk(image(8, 16, 1), 2).hash)
})

test('the prompt must name as many images as there are', () => {
  assertThrows(() => chunks([1, 5], [a, b], options), PromptError, '1 images', '2 were')
  assertThrows(() => chunks([5, 1, 5], [a], options), PromptError, '2 images', '1 were')
  assertThrows(() => splice([{ kind: 'text', ids: [5] }], options), PromptError, '5')
  assertThrows(() => imageChunk(image(8, 12), 2), PromptError, '8 x 12')
})

test('cutting keeps an image whole or drops it, and its placeholders with it', () => {
  const list = chunks([1, 5, 2, 3], [a], options)
  const cut = (limit: number, keep?: 'start' | 'end'): number[] =>
    Array.from(splice(truncateChunks(list, limit, keep), options).ids)
  assert.equal(cut(7), [1, 5, 5, 5, 5, 2, 3])
  assert.equal(cut(6), [1, 5, 5, 5, 5, 2])
  assert.equal(cut(4), [1])
  assert.equal(cut(6, 'end'), [5, 5, 5, 5, 2, 3])
  assert.equal(cut(5, 'end'), [2, 3])
  assert.equal(cut(1, 'end'), [3])
  // However it is cut, placeholders and images agree.
  for (let n = 0; n <= 8; n++) {
    for (const keep of ['start', 'end'] as const) {
      const { ids, images } = splice(truncateChunks(list, n, keep), options)
      assert.is(ids.filter((id) => id === 5).length, images.length * 4)
      assert.ok(ids.length <= n)
    }
  }
})

test.run()
