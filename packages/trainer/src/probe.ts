// The alignment probe of the paper's review (PAPER.md): does what the projector makes of images lie by meaning?
import { ShaktiError } from '@shakti/tensor'
import { checkPoints, nearestNeighbours, tsne, type TsneOptions } from './tsne.js'

export interface AlignmentProbe {
  /** A place in the plane for each vector (t-SNE), to be drawn by `scatter` of `@shakti/trainer/report`. */
  places: (readonly [number, number])[]
  /** Share of the vectors whose nearest neighbour, in their own space and not in the plane, has the same label. */
  purity: number
  /** What `purity` would be if neighbours were drawn by lot. */
  chance: number
}

/**
 * Looks at vectors with labels: projector outputs of images, each labelled with what the image shows.
 * @param vectors at least 3 of equal length, finite; a few thousand at most, since time grows with their square
 * @throws ShaktiError for vectors or labels that do not fit together
 * @example
 * const { places, purity, chance } = alignmentProbe(projected, images.map((i) => i.concept))
 */
export function alignmentProbe(
  vectors: readonly Float32Array[],
  labels: readonly string[],
  options: TsneOptions = {},
): AlignmentProbe {
  if (vectors.length !== labels.length)
    throw new ShaktiError(
      'alignmentProbe',
      `got ${vectors.length} vectors and ${labels.length} labels. They must be equal.`,
    )
  checkPoints('alignmentProbe', vectors)
  const n = vectors.length
  const same = nearestNeighbours(vectors).filter((j, i) => labels[i] === labels[j]).length
  const counts = new Map<string, number>()
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1)
  const pairs = [...counts.values()].reduce((sum, c) => sum + c * (c - 1), 0)
  return { places: tsne(vectors, options), purity: same / n, chance: pairs / (n * (n - 1)) }
}
