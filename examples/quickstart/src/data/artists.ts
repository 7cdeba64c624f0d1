// The seven artists: emoji sets shipped as SVG in npm packages. Pictures are rendered once, with sharp, and kept in a cache
// file; none is committed (OpenMoji, Twemoji and EmojiOne have share-alike or attribution licences: see the README).
import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import sharp from 'sharp'
import { concepts, heldOutConcepts, type Concept } from './concepts.js'

const require = createRequire(import.meta.url)

export const artists = [
  'noto',
  'noto-v1',
  'twemoji',
  'openmoji',
  'emojione',
  'fxemoji',
  'fluent-emoji-flat',
] as const
export type Artist = (typeof artists)[number]

interface IconSet {
  readonly width?: number
  readonly height?: number
  readonly icons: Readonly<
    Record<string, { readonly body: string; readonly width?: number; readonly height?: number }>
  >
  readonly aliases?: Readonly<Record<string, { readonly parent: string }>>
}

/** Pictures are kept as side x side RGBA with straight alpha. */
export const side = 32

// Names differ in hyphens and spaces between the sets.
const plain = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '')

function svgOf(set: IconSet, name: string, artist: string): string {
  const key =
    Object.keys(set.icons).find((k) => plain(k) === name) ??
    set.aliases?.[Object.keys(set.aliases).find((k) => plain(k) === name) ?? '']?.parent
  const icon = key === undefined ? undefined : set.icons[key]
  if (!icon) throw new Error(`artists: ${artist} has no picture named like '${name}'.`)
  const width = icon.width ?? set.width ?? 16
  const height = icon.height ?? set.height ?? 16
  return `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 ${width} ${height}" width="${side * 4}" height="${side * 4}">${icon.body}</svg>`
}

async function render(svg: string): Promise<Buffer> {
  return sharp(Buffer.from(svg))
    .resize(side, side, { fit: 'contain', background: { r: 0, g: 0, b: 0, alpha: 0 } })
    .ensureAlpha()
    .raw()
    .toBuffer()
}

/** Drawings by artist and concept: `get(artist, concept)` is side * side * 4 bytes. */
export class Drawings {
  readonly #bytes: Buffer
  readonly #index: ReadonlyMap<string, number>

  constructor(bytes: Buffer, all: readonly Concept[]) {
    this.#bytes = bytes
    this.#index = new Map(
      artists.flatMap((a, i) => all.map((c, j) => [`${a}/${c.name}`, i * all.length + j] as const)),
    )
  }

  get(artist: Artist, concept: string): Uint8Array {
    const at = this.#index.get(`${artist}/${concept}`)
    if (at === undefined) throw new Error(`artists: no drawing of '${concept}' by ${artist}.`)
    const size = side * side * 4
    return this.#bytes.subarray(at * size, (at + 1) * size)
  }
}

/** Renders every concept by every artist, or reads them from `cacheFile` when it was made from the same pictures. */
export async function loadDrawings(cacheFile: string): Promise<Drawings> {
  const all = [...concepts, ...heldOutConcepts]
  const svgs: string[] = []
  for (const artist of artists) {
    const set = require(`@iconify-json/${artist}/icons.json`) as IconSet
    for (const c of all) svgs.push(svgOf(set, plain(c.label), artist))
  }
  const digest = createHash('sha256').update(svgs.join('\n')).digest()
  const cached = await readFile(cacheFile).catch(() => undefined)
  const size = svgs.length * side * side * 4
  if (cached && cached.length === size + 32 && cached.subarray(0, 32).equals(digest)) {
    return new Drawings(cached.subarray(32), all)
  }
  const pictures: Buffer[] = []
  for (const svg of svgs) pictures.push(await render(svg))
  const bytes = Buffer.concat(pictures)
  await mkdir(dirname(cacheFile), { recursive: true })
  const temporary = `${cacheFile}.${process.pid}.tmp`
  await writeFile(temporary, Buffer.concat([digest, bytes]))
  await rename(temporary, cacheFile)
  return new Drawings(bytes, all)
}
