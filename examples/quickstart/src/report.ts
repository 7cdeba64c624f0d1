// The report of a run: curves, scores, pictures with questions and answers, and the alignment probe.
import sharp from 'sharp'
import { noGrad, tidy } from '@shakti/tensor'
import { alignmentProbe, type StageResult } from '@shakti/trainer'
import {
  answerCards,
  details,
  grid,
  html,
  lossCurve,
  percent,
  picture as inline,
  scatter,
  scoreTable,
  writePage,
  type Html,
} from '@shakti/trainer/report'
import type { ShaktiVlm } from '@shakti/vlm'
import type { Artist } from './data/artists.js'
import { concepts } from './data/concepts.js'
import { Random } from './data/random.js'
import { size } from './data/scenes.js'
import type { Answered } from './evaluation.js'
import { drawPicture, type Picture } from './pictures.js'
import type { Materials } from './stages.js'

async function shown(picture: Picture): Promise<Html> {
  const bytes = await sharp(picture.rgb, { raw: { width: size, height: size, channels: 3 } })
    .resize(144, 144, { kernel: 'nearest' })
    .png()
    .toBuffer()
  return inline(bytes, 'a scene')
}

/** Projector outputs of one thing alone on white paper, averaged over the cell that holds it, of seen and unseen artists. */
async function probe(
  model: ShaktiVlm,
  m: Materials,
  heldOut: Artist,
): Promise<{ chart: Html; purity: number; chance: number }> {
  const patch = m.recipe.vision.patchSizes.at(-1)!
  const items = concepts.flatMap((c) =>
    [...m.artists, heldOut].flatMap((artist) =>
      m.drawings.of(artist, c.name).length > 0 ? [{ c, artist }] : [],
    ),
  )
  const pictures = items.map(({ c, artist }, i) =>
    drawPicture(
      { paper: 'white', cells: [c, undefined, undefined, undefined] },
      new Random(5, i),
      patch,
      {
        drawings: m.drawings,
        artists: [artist],
        augment: false,
        merge: 2,
      },
    ),
  )
  const tokens = pictures[0]!.tokens
  const side = Math.sqrt(tokens)
  const out = tidy(() => noGrad(() => model.encodeImages(pictures.map((p) => p.image))))
  const data = await out.data()
  const width = out.shape[1]!
  out.dispose()
  const vectors = items.map((_, i) => {
    const v = new Float32Array(width)
    for (let r = 0; r < side / 2; r++) {
      for (let c = 0; c < side / 2; c++) {
        const at = (i * tokens + r * side + c) * width
        for (let k = 0; k < width; k++) v[k]! += data[at + k]!
      }
    }
    return v
  })
  const names = items.map(({ c }) => c.name)
  const { places, purity, chance } = alignmentProbe(vectors, names)
  const marks = places.map(([x, y], i) => {
    const { c, artist } = items[i]!
    return {
      x,
      y,
      group: c.kind,
      title: `${c.name} by ${artist}`,
      ...(artist === heldOut ? { label: c.name } : {}),
    }
  })
  return { chart: scatter(marks, { label: 't-SNE of projector outputs' }), purity, chance }
}

export interface ReportInput {
  readonly summary: Readonly<Record<string, unknown>> & {
    readonly heldOutArtist: Artist
    readonly byType: Readonly<Record<string, Readonly<Record<string, number | undefined>>>>
  }
  readonly results: readonly StageResult[]
  readonly examples: readonly Answered[]
  readonly model: ShaktiVlm
  readonly m: Materials
}

const columns = [
  { title: 'unseen artist', key: 'heldOut', allKey: 'heldOutAccuracy' },
  { title: 'chance', key: 'chance', allKey: 'chance' },
  { title: 'blank image', key: 'blankImage', allKey: 'blankImageAccuracy' },
  { title: 'wrong image', key: 'wrongImage', allKey: 'wrongImageAccuracy' },
  { title: 'seen artists', key: 'seenArtists', allKey: 'seenArtistAccuracy' },
]

export async function writeReport(
  path: string,
  { summary: s, results, examples, model, m }: ReportInput,
): Promise<{ purity: number }> {
  const { chart, purity, chance } = await probe(model, m, s.heldOutArtist)
  const cards = await Promise.all(
    [...new Set(examples.map((e) => e.picture))].slice(0, 12).map(async (picture) => ({
      picture: await shown(picture),
      answers: examples
        .filter((e) => e.picture === picture)
        .map(({ question, answer, right }) => ({
          question: question.text,
          answer,
          expected: question.answer,
          right,
        })),
    })),
  )
  await writePage(path, {
    title: 'Pictures by an artist never seen',
    lead: html`<p>
      <span class="big">${percent(s['heldOutAccuracy'])}</span> of questions about scenes drawn by
      <b>${s.heldOutArtist}</b> answered right; ${percent(s['blankImageAccuracy'])} when the image
      is blanked, ${percent(s['wrongImageAccuracy'])} with another question's image.
    </p>`,
    sections: [
      {
        title: 'Scores',
        body: html`${scoreTable(columns, s.byType, s)}
          <p>
            Kind of things never drawn in training: ${percent(s['heldOutConceptKindAccuracy'])}
            (chance 20 %). Asked in a phrasing never used in training:
            ${percent(s['heldOutPhrasingAccuracy'])}. Where a thing is:
            ${percent(s['whereAccuracy'])} (chance 25 %).
          </p>`,
      },
      { title: 'Training', body: grid(results.map((r) => lossCurve(r))) },
      { title: 'Pictures, questions, answers', body: answerCards(cards) },
      {
        title: 'Alignment probe',
        body: html`<p>
            What the projector makes of one thing alone, by every artist (t-SNE). Ringed and named:
            the unseen artist. The nearest neighbour shows the same thing for ${percent(purity)} of
            the drawings (by chance ${percent(chance)}).
          </p>
          ${chart}`,
      },
      {
        title: 'Run',
        body: details('recipe and figures', { recipe: m.recipe, ...s, byType: undefined }),
      },
    ],
    foot: html`<p>
      Drawings: Noto (Apache-2.0), Twemoji (CC-BY-4.0), OpenMoji (CC-BY-SA-4.0), EmojiOne
      (CC-BY-4.0), FxEmojis (Apache-2.0), Fluent Emoji (MIT), Streamline Emojis (CC-BY-4.0,
      Streamline). Definitions: WordNet 3.1.
    </p>`,
  })
  return { purity }
}
