// A scene: tinted paper, a 2 x 2 grid, each cell empty or one concept drawn by some artist. 48 x 48 pixels, RGB.
import type { Artist, Drawings } from './artists.js'
import { side } from './artists.js'
import { concepts, type Concept } from './concepts.js'
import type { Random } from './random.js'

export const size = 48
const cell = size / 2

export const papers = {
  white: [250, 250, 248],
  yellow: [250, 232, 150],
  pink: [248, 190, 205],
  blue: [170, 205, 245],
  green: [180, 228, 175],
  gray: [160, 160, 165],
} as const
export type Paper = keyof typeof papers
export const paperNames = Object.keys(papers) as Paper[]

export const places = ['top left', 'top right', 'bottom left', 'bottom right'] as const
export type Place = (typeof places)[number]

export interface Scene {
  readonly paper: Paper
  /** In the order of `places`; undefined is an empty cell. */
  readonly cells: readonly (Concept | undefined)[]
}

export interface SceneOptions {
  /** What may stand in it. Default: the concepts of training. */
  readonly of?: readonly Concept[]
}

/** A scene without its pixels. A quarter of the cells is empty, never all four. */
export function composeScene(random: Random, { of = concepts }: SceneOptions = {}): Scene {
  const paper = random.pick(paperNames)
  for (;;) {
    const cells = places.map(() => (random.next() < 0.25 ? undefined : random.pick(of)))
    if (cells.some((c) => c !== undefined)) return { paper, cells }
  }
}

export interface DrawOptions {
  readonly artists: readonly Artist[]
  /** Turn, mirror, resize and recolour the drawings (training). */
  readonly augment: boolean
}

/** Paints one drawing into a cell by bilinear sampling under rotation, mirroring and scale. */
function paint(
  pixels: Uint8Array,
  drawing: Uint8Array,
  x0: number,
  y0: number,
  random: Random,
  augment: boolean,
): void {
  const scale = augment ? random.between(15, 23) : 20
  const angle = augment ? random.between(-0.35, 0.35) : 0
  const mirror = augment && random.next() < 0.5 ? -1 : 1
  const cx = x0 + cell / 2 + random.between(-1.5, 1.5)
  const cy = y0 + cell / 2 + random.between(-1.5, 1.5)
  const gain = [0, 1, 2].map(() => (augment ? random.between(0.8, 1.2) : 1))
  const grey = augment && random.next() < 0.08
  const turn = augment && random.next() < 0.08 ? 1 + random.int(2) : 0 // other hues
  const step = side / scale
  const [cos, sin] = [Math.cos(angle) * step, Math.sin(angle) * step]
  for (let y = y0; y < y0 + cell; y++) {
    for (let x = x0; x < x0 + cell; x++) {
      const [dx, dy] = [x + 0.5 - cx, y + 0.5 - cy]
      const u = mirror * (dx * cos + dy * sin) + side / 2 - 0.5
      const v = -dx * sin + dy * cos + side / 2 - 0.5
      if (u <= -1 || v <= -1 || u >= side || v >= side) continue
      const [ui, vi] = [Math.floor(u), Math.floor(v)]
      let [r, g, b, a] = [0, 0, 0, 0]
      for (let k = 0; k < 4; k++) {
        const [px, py] = [ui + (k & 1), vi + (k >> 1)]
        if (px < 0 || py < 0 || px >= side || py >= side) continue
        const w = (k & 1 ? u - ui : 1 - u + ui) * (k >> 1 ? v - vi : 1 - v + vi)
        const at = (py * side + px) * 4
        const alpha = (w * drawing[at + 3]!) / 255
        r += alpha * drawing[at]!
        g += alpha * drawing[at + 1]!
        b += alpha * drawing[at + 2]!
        a += alpha
      }
      if (a < 0.004) continue
      let colour = [r, g, b]
      if (turn) colour = [colour[turn]!, colour[(turn + 1) % 3]!, colour[(turn + 2) % 3]!]
      if (grey) colour.fill((r + g + b) / 3)
      const at = (y * size + x) * 3
      for (let k = 0; k < 3; k++) {
        pixels[at + k] = Math.max(
          0,
          Math.min(255, colour[k]! * gain[k]! + pixels[at + k]! * (1 - a)),
        )
      }
    }
  }
}

/** The pixels of a scene, size * size * 3 bytes, row by row. */
export function drawScene(
  scene: Scene,
  drawings: Drawings,
  random: Random,
  options: DrawOptions,
): Uint8Array {
  const pixels = new Uint8Array(size * size * 3)
  const tint = papers[scene.paper].map((c) => c + random.between(-8, 8))
  for (let i = 0; i < pixels.length; i++)
    pixels[i] = Math.max(0, Math.min(255, tint[i % 3]! + random.between(-3, 3)))
  scene.cells.forEach((concept, i) => {
    if (!concept) return
    const drawing = drawings.get(random.pick(options.artists), concept.name)
    paint(pixels, drawing, (i % 2) * cell, Math.floor(i / 2) * cell, random, options.augment)
  })
  return pixels
}
