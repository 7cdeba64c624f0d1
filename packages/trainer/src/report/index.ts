// @shakti/trainer/report: a run as one HTML file. Apart from the main entry, so that training loads no charts.
export { escapeHtml, html, type Html, type HtmlValue } from './html.js'
export { curve, lossCurve, scatter, type CurveOptions, type Mark } from './charts.js'
export {
  answerCards,
  details,
  grid,
  page,
  percent,
  picture,
  scoreTable,
  table,
  writePage,
  type AnswerCard,
  type Cell,
  type ScoreColumn,
  type Page,
} from './page.js'
