// Pages of a PDF as pictures. PDFium runs as WebAssembly: a damaged file cannot reach beyond its sandbox.
import { PDFiumLibrary, type PDFiumDocument } from '@hyzyla/pdfium'
import sharp from 'sharp'

/** Points (1/72 inch) that PDF measures in, to the inch. */
const points = 72

export interface RenderedPage {
  /** From 1. */
  readonly number: number
  readonly height: number
  readonly width: number
  /** Renders the page: a PNG. Only while the document is open, that is within the loop's turn. */
  render(): Promise<Uint8Array>
}

/**
 * The pages of a PDF with their sizes in pixels; each is rendered only if its `render` is called.
 * @param dpi pixels to the inch: 150 reads well, 300 keeps fine print
 */
export async function* pdfPages(pdf: Uint8Array, dpi: number): AsyncGenerator<RenderedPage> {
  const library = await PDFiumLibrary.init()
  let document: PDFiumDocument | undefined
  try {
    document = await library.loadDocument(pdf)
    for (const page of document.pages()) {
      const { originalHeight, originalWidth } = page.getOriginalSize()
      const pixels = (v: number): number => Math.max(1, Math.round((v * dpi) / points))
      const [height, width] = [pixels(originalHeight), pixels(originalWidth)]
      yield {
        number: page.number + 1,
        height,
        width,
        render: async () => {
          const { data } = await page.render({ height, width, scale: 1 })
          // Fast rather than small: the file lives until it is decoded.
          return sharp(data, { raw: { width, height, channels: 4 } })
            .png({ compressionLevel: 1 })
            .toBuffer()
        },
      }
    }
  } finally {
    document?.destroy()
    library.destroy()
  }
}
