// The artists: emoji sets shipped as SVG in npm packages. Pictures are rendered once, with sharp, and kept in a cache file;
// none is committed (OpenMoji, Twemoji, EmojiOne and Streamline have share-alike or attribution licences: see the README).
import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import sharp from 'sharp'
import { concepts, heldOutConcepts } from './concepts.js'

const require = createRequire(import.meta.url)

export const artists = [
  'noto',
  'noto-v1',
  'twemoji',
  'openmoji',
  'emojione',
  'fxemoji',
  'fluent-emoji-flat',
  'streamline-emojis',
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

/** The SVG of every drawing under a label; sets number further ones (hamburger-1, hamburger-2). */
function svgsByLabel(set: IconSet): (label: string) => string[] {
  const keysByLabel = new Map<string, string[]>()
  for (const key of Object.keys(set.icons)) {
    const label = plain(key).replace(/\d+$/, '')
    keysByLabel.set(label, [...(keysByLabel.get(label) ?? []), key])
  }
  for (const [alias, { parent }] of Object.entries(set.aliases ?? {}))
    if (!keysByLabel.has(plain(alias))) keysByLabel.set(plain(alias), [parent])
  return (label) =>
    (keysByLabel.get(plain(label)) ?? []).flatMap((key) => {
      const icon = set.icons[key]
      if (!icon) return []
      const width = icon.width ?? set.width ?? 16
      const height = icon.height ?? set.height ?? 16
      return `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 ${width} ${height}" width="${side * 4}" height="${side * 4}">${icon.body}</svg>`
    })
}

async function render(svg: string): Promise<Buffer> {
  return sharp(Buffer.from(svg))
    .resize(side, side, { fit: 'contain', background: { r: 0, g: 0, b: 0, alpha: 0 } })
    .ensureAlpha()
    .raw()
    .toBuffer()
}

const nothing: readonly Uint8Array[] = []

/** Drawings by artist and concept; a drawing is side * side * 4 bytes. */
export class Drawings {
  /** By artist, then by concept: a lookup of every training picture's. */
  readonly #drawn = new Map<string, Map<string, Uint8Array[]>>()

  /** @param names whose drawing of what each picture in `bytes` is, as `artist/concept` */
  constructor(bytes: Buffer, names: readonly string[]) {
    const size = side * side * 4
    names.forEach((name, i) => {
      const [artist, concept] = name.split('/') as [string, string]
      const of = this.#drawn.get(artist) ?? new Map<string, Uint8Array[]>()
      this.#drawn.set(artist, of)
      of.set(concept, [...(of.get(concept) ?? []), bytes.subarray(i * size, (i + 1) * size)])
    })
  }

  /** An artist's drawings of a concept: none where the set lacks it. */
  of(artist: Artist, concept: string): readonly Uint8Array[] {
    return this.#drawn.get(artist)?.get(concept) ?? nothing
  }
}

/** Renders every concept by every artist, or reads them from `cacheFile` when it was made from the same pictures. */
export async function loadDrawings(cacheFile: string): Promise<Drawings> {
  const names: string[] = []
  const svgs: string[] = []
  // Not required as modules: those would stay, tens of megabytes for every collection of garbage to look at.
  const sets = await Promise.all(
    artists.map(async (artist) => {
      const file = await readFile(require.resolve(`@iconify-json/${artist}/icons.json`), 'utf8')
      return { artist, svgs: svgsByLabel(JSON.parse(file) as IconSet) }
    }),
  )
  for (const { name, labels } of [...concepts, ...heldOutConcepts]) {
    const before = names.length
    for (const { artist, svgs: of } of sets) {
      for (const svg of labels.flatMap(of)) {
        names.push(`${artist}/${name}`)
        svgs.push(svg)
      }
    }
    if (names.length === before)
      throw new Error(`artists: no set has a picture named like '${labels.join("' or '")}'.`)
  }
  const digest = createHash('sha256').update(svgs.join('\n')).digest()
  const cached = await readFile(cacheFile).catch(() => undefined)
  const size = svgs.length * side * side * 4
  if (cached && cached.length === size + 32 && cached.subarray(0, 32).equals(digest)) {
    return new Drawings(cached.subarray(32), names)
  }
  const pictures: Buffer[] = []
  for (const svg of svgs) pictures.push(await render(svg))
  const bytes = Buffer.concat(pictures)
  await mkdir(dirname(cacheFile), { recursive: true })
  const temporary = `${cacheFile}.${process.pid}.tmp`
  await writeFile(temporary, Buffer.concat([digest, bytes]))
  await rename(temporary, cacheFile)
  return new Drawings(bytes, names)
}
