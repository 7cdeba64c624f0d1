import type { PreTokenizerKind } from './index.js'

/** Scripts by the names that Unicode 15 gives them; what is in none of them, such as a space, joins any. */
const SCRIPTS =
  'Common Latin Inherited Greek Cyrillic Devanagari Arabic Hebrew Hangul Thai Bengali Tamil Telugu Gujarati Gurmukhi Kannada ' +
  'Malayalam Oriya Sinhala Lao Tibetan Myanmar Georgian Armenian Ethiopic Khmer Mongolian Cherokee Canadian_Aboriginal Ogham ' +
  'Runic Tagalog Hanunoo Buhid Tagbanwa Limbu Tai_Le Linear_B Ugaritic Shavian Osmanya Cypriot Braille Buginese Coptic New_Tai_Lue ' +
  'Glagolitic Tifinagh Syloti_Nagri Old_Persian Kharoshthi Balinese Cuneiform Phoenician Phags_Pa Nko Sundanese Lepcha Ol_Chiki ' +
  'Vai Saurashtra Kayah_Li Rejang Lycian Carian Lydian Cham Tai_Tham Tai_Viet Avestan Egyptian_Hieroglyphs Samaritan Lisu Bamum ' +
  'Javanese Meetei_Mayek Imperial_Aramaic Old_South_Arabian Inscriptional_Parthian Inscriptional_Pahlavi Old_Turkic Kaithi Batak ' +
  'Brahmi Mandaic Chakma Meroitic_Cursive Meroitic_Hieroglyphs Miao Sharada Sora_Sompeng Takri Bopomofo Han Yi Old_Italic Gothic ' +
  'Deseret Syriac Thaana Caucasian_Albanian Bassa_Vah Duployan Elbasan Grantha Pahawh_Hmong Khojki Linear_A Mahajani Manichaean ' +
  'Mende_Kikakui Modi Mro Old_North_Arabian Nabataean Palmyrene Pau_Cin_Hau Old_Permic Psalter_Pahlavi Siddham Khudawadi Tirhuta ' +
  'Warang_Citi Ahom Anatolian_Hieroglyphs Hatran Multani Old_Hungarian SignWriting Adlam Bhaiksuki Marchen Newa Osage Tangut ' +
  'Masaram_Gondi Nushu Soyombo Zanabazar_Square Dogra Gunjala_Gondi Hanifi_Rohingya Makasar Medefaidrin Old_Sogdian Sogdian ' +
  'Elymaic Nandinagari Nyiakeng_Puachue_Hmong Wancho Chorasmian Dives_Akuru Khitan_Small_Script Yezidi Cypro_Minoan Old_Uyghur ' +
  'Tangsa Toto Vithkuqi Kawi Nag_Mundari'

const ANY = 0
const UNKNOWN = 255
const HAN = 1

/** Script of a code point as a small number, filled in as they are met. */
let known: Uint8Array | undefined
let tests: RegExp[] | undefined

function scriptOf(codePoint: number): number {
  known ??= new Uint8Array(0x110000).fill(UNKNOWN)
  const found = known[codePoint]!
  return found === UNKNOWN ? (known[codePoint] = classify(codePoint)) : found
}

function classify(codePoint: number): number {
  if (codePoint === 0x20) return ANY
  const char = String.fromCodePoint(codePoint)
  // Japanese writes three scripts within a word.
  if (codePoint === 0x30fc || /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u.test(char))
    return HAN
  tests ??= SCRIPTS.split(' ').map((name) => new RegExp(`\\p{Script=${name}}`, 'u'))
  const index = tests.findIndex((test) => test.test(char))
  return index < 0 ? ANY : index + 2
}

/** Cuts where the script changes. Spaces before the first script are lost, as in Hugging Face's. */
export const unicodeScripts: PreTokenizerKind = (read, part, path) => {
  read.only(part, path, ['type'])
  return (text) => {
    const pieces = []
    let start = -1
    let last = ANY
    for (let i = 0; i < text.length;) {
      const codePoint = text.text.codePointAt(i)!
      const script = scriptOf(codePoint)
      if (script !== ANY) {
        if (script !== last) {
          if (start >= 0) pieces.push(text.slice(start, i))
          start = i
        }
        last = script
      }
      i += codePoint > 0xffff ? 2 : 1
    }
    if (start >= 0) pieces.push(text.slice(start, text.length))
    return pieces
  }
}
