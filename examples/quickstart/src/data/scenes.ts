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
  /** Turn, mirror, bend, recolour and partly cover the drawings (training). */
  readonly augment: boolean
}

/** How a drawing is put into its cell. */
interface Placement {
  /** Side of the drawing on the paper, in pixels. */
  readonly scale: number
  readonly angle: number
  readonly mirror: 1 | -1
  /** Width against height, and the slant of upright lines. */
  readonly aspect: number
  readonly shear: number
  /** A square that stays paper, in pixels of the cell. */
  readonly hole: { readonly x: number; readonly y: number; readonly side: number } | undefined
  /** Colour of the drawing at full cover: contrast, brightness and channel gains applied, hues swapped or taken out. */
  colour(r: number, g: number, b: number): readonly [number, number, number]
}

const asDrawn: Placement = {
  scale: 20,
  angle: 0,
  mirror: 1,
  aspect: 1,
  shear: 0,
  hole: undefined,
  colour: (r, g, b) => [r, g, b],
}

/**
 * An artist's hand differs in shape, tone and detail: all three are varied, so that what is learned is the thing. Of the
 * single changes the hole helped most with the unseen artist (docs/log.md).
 */
function varied(random: Random): Placement {
  const [gr, gg, gb] = [0, 1, 2].map(() => random.between(0.6, 1.4)) as [number, number, number]
  const brightness = random.between(-40, 40)
  const contrast = random.between(0.6, 1.4)
  const grey = random.next() < 0.15
  const swap = random.next() < 0.1 ? 1 + random.int(2) : 0
  const tone = (c: number, gain: number): number => ((c - 128) * contrast + 128 + brightness) * gain
  return {
    scale: random.between(15, 23),
    angle: random.between(-0.35, 0.35),
    mirror: random.next() < 0.5 ? -1 : 1,
    aspect: Math.exp(random.between(-0.15, 0.15)),
    shear: random.between(-0.15, 0.15),
    hole:
      random.next() < 0.5
        ? { x: random.int(20), y: random.int(20), side: 4 + random.int(8) }
        : undefined,
    colour: (r, g, b) => {
      const hues = [r, g, b]
      const mean = (r + g + b) / 3
      const of = (k: number): number => (grey ? mean : hues[(k + swap) % 3]!)
      return [tone(of(0), gr), tone(of(1), gg), tone(of(2), gb)]
    },
  }
}

/** Paints one drawing into a cell by bilinear sampling. */
function paint(
  pixels: Uint8Array,
  drawing: Uint8Array,
  x0: number,
  y0: number,
  random: Random,
  { scale, angle, mirror, aspect, shear, hole, colour }: Placement,
): void {
  const cx = x0 + cell / 2 + random.between(-1.5, 1.5)
  const cy = y0 + cell / 2 + random.between(-1.5, 1.5)
  const step = side / scale
  const [cos, sin] = [Math.cos(angle) * step, Math.sin(angle) * step]
  for (let y = y0; y < y0 + cell; y++) {
    for (let x = x0; x < x0 + cell; x++) {
      const [hx, hy] = [x - x0 - (hole?.x ?? 0), y - y0 - (hole?.y ?? 0)]
      if (hole && hx >= 0 && hy >= 0 && hx < hole.side && hy < hole.side) continue
      const dy = y + 0.5 - cy
      const dx = x + 0.5 - cx + shear * dy
      const u = mirror * (dx * cos + dy * sin) * aspect + side / 2 - 0.5
      const v = (-dx * sin + dy * cos) / aspect + side / 2 - 0.5
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
      const shown = colour(r / a, g / a, b / a)
      const at = (y * size + x) * 3
      for (let k = 0; k < 3; k++) {
        pixels[at + k] = Math.max(0, Math.min(255, shown[k]! * a + pixels[at + k]! * (1 - a)))
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
    const placement = options.augment ? varied(random) : asDrawn
    paint(pixels, drawing, (i % 2) * cell, Math.floor(i / 2) * cell, random, placement)
  })
  return pixels
}
