// A PDF of three pages, written here so that the example needs no file: a letter, a wide table, a long receipt.

/** Lines of Helvetica from the top, and rectangles; units are points (1/72 inch), colours 0 to 1. */
interface Page {
  readonly width: number
  readonly height: number
  readonly size: number
  readonly lines: readonly string[]
  readonly bars?: readonly { x: number; y: number; w: number; h: number; rgb: string }[]
}

const pages: readonly Page[] = [
  {
    width: 595,
    height: 842,
    size: 12,
    lines: [
      'Nordlicht Bindery, Harbour Street 4',
      '',
      'Dear reader,',
      '',
      ...Array.from(
        { length: 30 },
        (_, i) =>
          `${i + 1}. The quick brown fox jumps over the lazy dog, and line ${i + 1} ends here.`,
      ),
    ],
    bars: [{ x: 40, y: 40, w: 515, h: 24, rgb: '0.8 0.1 0.1' }],
  },
  {
    width: 842,
    height: 595,
    size: 14,
    lines: Array.from({ length: 20 }, (_, i) => `Row ${i + 1}     ${(i * 37) % 100}.00     EUR`),
    bars: Array.from({ length: 10 }, (_, i) => ({
      x: 400,
      y: 40 + i * 50,
      w: 40 + ((i * 97) % 380),
      h: 30,
      rgb: '0.1 0.3 0.8',
    })),
  },
  {
    width: 204,
    height: 1200,
    size: 9,
    lines: Array.from({ length: 90 }, (_, i) => `Item ${i + 1} ......... ${(i * 13) % 50}.95`),
  },
]

const text = (s: string): string => `(${s.replace(/[\\()]/g, '\\$&')})`

function content({ height, size, lines, bars = [] }: Page): string {
  const drawn = bars.map(({ x, y, w, h, rgb }) => `${rgb} rg ${x} ${y} ${w} ${h} re f`)
  const leading = Math.round(size * 1.35)
  const written = lines.map((line) => `${text(line)} Tj T*`)
  return [
    ...drawn,
    `0 g BT /F1 ${size} Tf ${leading} TL 40 ${height - 50} Td`,
    ...written,
    'ET',
  ].join('\n')
}

/** The sample as the bytes of a PDF 1.4 file (ISO 32000-1, 7.5: header, objects, cross-reference table, trailer). */
export function samplePdf(): Uint8Array {
  // Objects 1 to 3 are catalogue, page tree and font; then a page and its content, in turn.
  const kids = pages.map((_, i) => `${4 + 2 * i} 0 R`).join(' ')
  const objects = [
    '<< /Type /Catalog /Pages 2 0 R >>',
    `<< /Type /Pages /Kids [${kids}] /Count ${pages.length} >>`,
    '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>',
  ]
  for (const page of pages) {
    const stream = content(page)
    objects.push(
      `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 ${page.width} ${page.height}] ` +
        `/Resources << /Font << /F1 3 0 R >> >> /Contents ${objects.length + 2} 0 R >>`,
      `<< /Length ${stream.length} >>\nstream\n${stream}\nendstream`,
    )
  }
  let file = '%PDF-1.4\n'
  const offsets = objects.map((object, i) => {
    const at = file.length
    file += `${i + 1} 0 obj\n${object}\nendobj\n`
    return String(at).padStart(10, '0')
  })
  const table = file.length
  file += `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n`
  file += offsets.map((at) => `${at} 00000 n \n`).join('')
  file += `trailer\n<< /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${table}\n%%EOF\n`
  return Buffer.from(file, 'latin1')
}
