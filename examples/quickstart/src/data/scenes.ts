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

type Twelve = readonly [...Six, ...Six]
type Six = readonly [number, number, number, number, number, number]

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
  /** An affine map of colours: three rows of factors for red, green, blue and a constant. */
  readonly colour: readonly number[]
}

const asDrawn: Placement = {
  scale: 20,
  angle: 0,
  mirror: 1,
  aspect: 1,
  shear: 0,
  hole: undefined,
  colour: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0],
}

/**
 * An artist's hand differs in shape, tone and detail: all three are varied, so that what is learned is the thing
 * (docs/log.md has what each brought).
 */
function varied(random: Random): Placement {
  const gains = [0, 1, 2].map(() => random.between(0.6, 1.4))
  const brightness = random.between(-40, 40)
  const contrast = random.between(0.6, 1.4)
  const grey = random.next() < 0.25
  const swap = random.next() < 0.2 ? 1 + random.int(2) : 0
  const mix = (to: number, from: number): number =>
    grey ? 1 / 3 : from === (to + swap) % 3 ? 1 : 0
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
    colour: gains.flatMap((gain, to) => [
      ...[0, 1, 2].map((from) => gain * contrast * mix(to, from)),
      gain * (128 * (1 - contrast) + brightness),
    ]),
  }
}

const bordered = side + 2

/** Colours multiplied by alpha (0 to 1), with an empty border: what lies outside a drawing is nothing. */
function inkOf(drawing: Uint8Array): Float32Array {
  const ink = new Float32Array(bordered * bordered * 4)
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const from = (y * side + x) * 4
      const to = ((y + 1) * bordered + x + 1) * 4
      const alpha = drawing[from + 3]! / 255
      for (let k = 0; k < 3; k++) ink[to + k] = alpha * drawing[from + k]!
      ink[to + 3] = alpha
    }
  }
  return ink
}

const inks = new WeakMap<Uint8Array, Float32Array>()

/** Paints one drawing into a cell by bilinear sampling. */
function paint(
  pixels: Uint8ClampedArray,
  drawing: Uint8Array,
  x0: number,
  y0: number,
  random: Random,
  { scale, angle, mirror, aspect, shear, hole, colour }: Placement,
): void {
  let ink = inks.get(drawing)
  if (!ink) inks.set(drawing, (ink = inkOf(drawing)))
  const cx = x0 + cell / 2 + random.between(-1.5, 1.5)
  const cy = y0 + cell / 2 + random.between(-1.5, 1.5)
  const step = side / scale
  const cos = Math.cos(angle) * step
  const sin = Math.sin(angle) * step
  const [rr, rg, rb, r1, gr, gg, gb, g1, br, bg, bb, b1] = colour as Twelve
  for (let y = y0; y < y0 + cell; y++) {
    for (let x = x0; x < x0 + cell; x++) {
      if (hole) {
        const hx = x - x0 - hole.x
        const hy = y - y0 - hole.y
        if (hx >= 0 && hy >= 0 && hx < hole.side && hy < hole.side) continue
      }
      const dy = y + 0.5 - cy
      const dx = x + 0.5 - cx + shear * dy
      const u = mirror * (dx * cos + dy * sin) * aspect + side / 2 - 0.5
      const v = (-dx * sin + dy * cos) / aspect + side / 2 - 0.5
      if (u <= -1 || v <= -1 || u >= side || v >= side) continue
      const ui = Math.floor(u)
      const vi = Math.floor(v)
      const fu = u - ui
      const fv = v - vi
      const p = ((vi + 1) * bordered + ui + 1) * 4
      const q = p + bordered * 4
      const w00 = (1 - fu) * (1 - fv)
      const w01 = fu * (1 - fv)
      const w10 = (1 - fu) * fv
      const w11 = fu * fv
      const a = w00 * ink[p + 3]! + w01 * ink[p + 7]! + w10 * ink[q + 3]! + w11 * ink[q + 7]!
      if (a < 0.004) continue
      const r = w00 * ink[p]! + w01 * ink[p + 4]! + w10 * ink[q]! + w11 * ink[q + 4]!
      const g = w00 * ink[p + 1]! + w01 * ink[p + 5]! + w10 * ink[q + 1]! + w11 * ink[q + 5]!
      const b = w00 * ink[p + 2]! + w01 * ink[p + 6]! + w10 * ink[q + 2]! + w11 * ink[q + 6]!
      const at = (y * size + x) * 3
      const rest = 1 - a
      // A clamped array rounds and keeps within 0 .. 255.
      pixels[at] = rr * r + rg * g + rb * b + r1 * a + pixels[at]! * rest
      pixels[at + 1] = gr * r + gg * g + gb * b + g1 * a + pixels[at + 1]! * rest
      pixels[at + 2] = br * r + bg * g + bb * b + b1 * a + pixels[at + 2]! * rest
    }
  }
}

/** Paper that is not quite even. */
function lay(
  pixels: Uint8ClampedArray,
  [red, green, blue]: readonly [number, number, number],
  random: Random,
): void {
  for (let i = 0; i < pixels.length; i += 3) {
    pixels[i] = red + random.between(-3, 3)
    pixels[i + 1] = green + random.between(-3, 3)
    pixels[i + 2] = blue + random.between(-3, 3)
  }
}

/** The pixels of a scene, size * size * 3 bytes, row by row. */
export function drawScene(
  scene: Scene,
  drawings: Drawings,
  random: Random,
  options: DrawOptions,
): Uint8Array {
  const pixels = new Uint8ClampedArray(size * size * 3)
  const tint = papers[scene.paper].map((c) => c + random.between(-8, 8))
  lay(pixels, tint as [number, number, number], random)
  scene.cells.forEach((concept, i) => {
    if (!concept) return
    const able = options.artists.filter((a) => drawings.of(a, concept.name).length > 0)
    if (able.length === 0)
      throw new Error(
        `drawScene: no drawing of '${concept.name}' by ${options.artists.join(', ')}.`,
      )
    const drawing = random.pick(drawings.of(random.pick(able), concept.name))
    const placement = options.augment ? varied(random) : asDrawn
    paint(pixels, drawing, (i % 2) * cell, Math.floor(i / 2) * cell, random, placement)
  })
  return new Uint8Array(pixels.buffer)
}
