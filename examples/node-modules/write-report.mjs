// Writes the bill of materials from what is below /pfs/package-facts: packages.csv, report.md and
// chart.svg. Equal input gives equal bytes, so that a difference in the output means something.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const pfs = process.env.PFS ?? '/pfs'

function readFacts(directory) {
  const names = readdirSync(directory, { recursive: true }).filter((name) => name.endsWith('.json'))
  const facts = names.map((name) => JSON.parse(readFileSync(join(directory, name), 'utf8')))
  return facts
    .map((one) => ({ ...one, code: sum(Object.values(one.lines)) }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0)
}

function grouped(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ',')
}

function size(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB']
  const power = Math.min(bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10), units.length - 1)
  const number = bytes / 1024 ** power
  return `${number >= 100 || power === 0 ? Math.round(number) : number.toFixed(1)} ${units[power]}`
}

/** [{ key, count, … }] with the largest first; ties by name. */
function tally(entries) {
  const totals = new Map()
  for (const [key, count] of entries) totals.set(key, (totals.get(key) ?? 0) + count)
  return [...totals]
    .map(([key, count]) => ({ key, count }))
    .toSorted((a, b) => b.count - a.count || (a.key < b.key ? -1 : 1))
}

// The table.

function csvCell(value) {
  const plain = String(value)
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain
}

function csv(packages) {
  const rows = packages.map(({ name, version, licence, files, bytes, code }) =>
    [name, version, licence, files, bytes, code].map(csvCell).join(','),
  )
  return `${['name,version,licence,files,bytes,lines of code', ...rows].join('\n')}\n`
}

// The report.

function tableRow(cells) {
  return `| ${cells.map((content) => String(content).replaceAll('|', '\\|')).join(' | ')} |`
}

function table(header, rows) {
  const rule = header.map((_, index) => (index === 0 ? '---' : '--:'))
  return [header, rule, ...rows].map(tableRow).join('\n')
}

function share(count, of) {
  return `${((count / Math.max(of, 1)) * 100).toFixed(1)} %`
}

function report({ packages, licences, codeByLanguage, totals }) {
  const largest = [...packages].toSorted((a, b) => b.bytes - a.bytes).slice(0, 10)
  return `# Bill of materials

${totals.packages} packages, ${grouped(totals.files)} files, ${size(totals.bytes)}, ${grouped(totals.code)} lines of code.

![Packages by lines of code and licence](chart.svg)

## Licences

${table(
  ['Licence', 'Packages', 'Share'],
  licences.map(({ key, count }) => [key, count, share(count, totals.packages)]),
)}

## Languages

${table(
  ['Language', 'Lines', 'Share'],
  codeByLanguage.map(({ key, count }) => [key, grouped(count), share(count, totals.code)]),
)}

## Largest packages

${table(
  ['Package', 'Version', 'Files', 'Size'],
  largest.map((one) => [one.name, one.version, grouped(one.files), size(one.bytes)]),
)}

All packages are in [packages.csv](packages.csv).
`
}

// The chart: a treemap with an area for each licence and in it one for each package, and below it a
// band for the languages.

const palette = ['#3d6fb6', '#3a9188', '#d08a2e', '#8561ab', '#b8505f', '#6f8f3c']
const restColour = '#8a8f98'
const rest = 'other'

/** A colour for each of the commonest licences; the others share one. */
function colourScale(licences) {
  const named = licences.slice(0, licences.length > palette.length ? palette.length : undefined)
  const colours = new Map(named.map(({ key }, index) => [key, palette[index]]))
  const legend = named.map(({ key, count }) => ({ key, count, colour: colours.get(key) }))
  const others = licences.slice(named.length)
  if (others.length > 0) {
    legend.push({ key: rest, count: sum(others.map(({ count }) => count)), colour: restColour })
  }
  return { legend, of: (licence) => colours.get(licence) ?? restColour }
}

/**
 * Rectangles with areas in proportion to `code`, as near to squares as a greedy row by row layout
 * gets (Bruls, Huizing, van Wijk). The largest items come first.
 */
function squarify(items, box) {
  const scale = (box.width * box.height) / Math.max(sum(items.map(({ code }) => code)), 1)
  let left = items.map((item) => ({ item, area: item.code * scale }))
  const placed = []
  let { x, y, width, height } = box
  while (left.length > 0) {
    const side = Math.min(width, height)
    let count = 1
    while (
      count < left.length &&
      worst(left.slice(0, count + 1), side) <= worst(left.slice(0, count), side)
    ) {
      count += 1
    }
    const row = left.slice(0, count)
    left = left.slice(count)
    const depth = sum(row.map(({ area }) => area)) / side
    let along = 0
    for (const { item, area } of row) {
      const length = area / depth
      placed.push(
        width >= height
          ? { item, x, y: y + along, width: depth, height: length }
          : { item, x: x + along, y, width: length, height: depth },
      )
      along += length
    }
    if (width >= height) [x, width] = [x + depth, width - depth]
    else [y, height] = [y + depth, height - depth]
  }
  return placed
}

function worst(row, side) {
  const areas = row.map(({ area }) => area)
  const total = sum(areas)
  return Math.max(
    (side ** 2 * Math.max(...areas)) / total ** 2,
    total ** 2 / (side ** 2 * Math.min(...areas)),
  )
}

function escapeXml(content) {
  const names = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
  return content.replace(/[&<>"]/g, (character) => names[character])
}

function text(x, y, content, attributes = '') {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${escapeXml(content)}</text>`
}

/** About as many pixels as sans-serif text takes. */
function textWidth(content, fontSize) {
  return content.length * fontSize * 0.56
}

function shortened(content, lengthMax) {
  return content.length <= lengthMax ? content : `${content.slice(0, lengthMax - 1)}…`
}

function rectangle({ x, y, width, height }, attributes) {
  const place = `x="${x.toFixed(1)}" y="${y.toFixed(1)}"`
  return `<rect ${place} width="${width.toFixed(1)}" height="${height.toFixed(1)}" ${attributes}/>`
}

const detailSize = 10.5

/** As much of the name, and then of the lines, as there is room for. */
function cellTexts({ item, x, y, width, height }) {
  const wanted = Math.max(9.5, Math.min(18, Math.sqrt(width * height) / 9))
  const fits = (content, atSize) => textWidth(content, atSize) < width - 10
  const names = [item.name, item.name.replace(/^@[^/]*\//, '')]
  const choices = names.flatMap((name) => [wanted, 9.5].map((atSize) => ({ name, atSize })))
  const chosen = choices.find(({ name, atSize }) => fits(name, atSize) && height > atSize + 6)
  if (chosen === undefined) return ''
  const { name, atSize } = chosen
  const left = x + (width < 60 ? 5 : 8)
  const top = y + atSize + (height < 40 ? 3 : 5)
  const title = text(left, top, name, `class="name" font-size="${atSize.toFixed(1)}"`)
  const detail = `${grouped(item.code)} lines`
  if (height < atSize + detailSize + 18 || !fits(detail, detailSize)) return title
  return (
    title + text(left, top + detailSize + 4, detail, `class="detail" font-size="${detailSize}"`)
  )
}

function cell(placed, { colour, opacity }) {
  const { name, version, licence, code } = placed.item
  const title = `<title>${escapeXml(`${name} ${version}: ${licence}, ${grouped(code)} lines`)}</title>`
  const area = rectangle(placed, `fill="${colour}" fill-opacity="${opacity.toFixed(2)}"`)
  return `<g>${title}${area}${cellTexts(placed)}</g>`
}

/** A shade lighter from one package to the next. */
function group({ item: { key, items }, x, y, width, height }, colours) {
  const inner = { x: x + 1.5, y: y + 1.5, width: width - 3, height: height - 3 }
  if (inner.width <= 0 || inner.height <= 0) return ''
  return squarify(items, inner)
    .map((placed, index) =>
      cell(placed, { colour: colours.of(key), opacity: 1 - 0.28 * (index / items.length) }),
    )
    .join('\n')
}

/** The packages with code, by licence, the largest first. */
function groupedByLicence(packages) {
  const bySize = packages
    .filter(({ code }) => code > 0)
    .toSorted((a, b) => b.code - a.code || (a.name < b.name ? -1 : 1))
  return tally(bySize.map(({ licence, code }) => [licence, code])).map(({ key, count }) => ({
    key,
    code: count,
    items: bySize.filter(({ licence }) => licence === key),
  }))
}

function legendRow(legend, x, y) {
  const parts = []
  let at = x
  for (const { key, count, colour } of legend) {
    const label = `${shortened(key, 24)}  ${grouped(count)}`
    parts.push(
      `<rect x="${at.toFixed(1)}" y="${y - 10}" width="12" height="12" rx="3" fill="${colour}"/>`,
    )
    parts.push(text(at + 18, y, label, 'class="legend" font-size="13"'))
    at += 18 + textWidth(label, 13) + 18
  }
  return parts.join('\n')
}

function languageBand(codeByLanguage, box) {
  const total = Math.max(sum(codeByLanguage.map(({ count }) => count)), 1)
  const shades = ['#2f4858', '#4f7184', '#7d9aa9', '#a9bec8', '#ccd8de', '#e2e9ec']
  const shown = codeByLanguage.slice(0, shades.length - 1)
  const others = sum(codeByLanguage.slice(shown.length).map(({ count }) => count))
  if (others > 0) shown.push({ key: rest, count: others })
  const parts = []
  let x = box.x
  for (const [index, { count }] of shown.entries()) {
    const width = (count / total) * box.width
    parts.push(rectangle({ ...box, x, width }, `fill="${shades[index]}"`))
    x += width
  }
  const legend = shown.map((one, index) => ({ ...one, colour: shades[index] }))
  return `${parts.join('\n')}\n${legendRow(legend, box.x, box.y + box.height + 24)}`
}

function chart({ packages, licences, codeByLanguage, totals }) {
  const box = { x: 40, y: 122, width: 1120, height: 560 }
  const colours = colourScale(licences)
  const cells = squarify(groupedByLicence(packages), box).map((placed) => group(placed, colours))
  const subtitle = `${totals.packages} packages · ${grouped(totals.files)} files · ${size(totals.bytes)} · ${grouped(totals.code)} lines of code`
  const band = { x: 40, y: 746, width: 1120, height: 16 }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1200 820" role="img" aria-label="Packages by lines of code and licence">
<style>
  text { font-family: system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #22282f }
  .quiet { fill: #66707b }
  .name { fill: #fff; font-weight: 600 }
  .detail { fill: #fff; fill-opacity: .82 }
  .cells rect { stroke: #fff; stroke-width: 1 }
</style>
<rect width="1200" height="820" fill="#fff"/>
${text(40, 50, 'What is in node_modules', 'font-size="26" font-weight="700"')}
${text(40, 76, subtitle, 'class="quiet" font-size="15"')}
${legendRow(colours.legend, 40, 106)}
<g class="cells">
${cells.join('\n')}
</g>
${text(40, 722, 'An area is a package by its lines of code, a colour its licence. Below: all lines by language.', 'class="quiet" font-size="13"')}
${languageBand(codeByLanguage, band)}
</svg>
`
}

const packages = readFacts(join(pfs, 'package-facts'))
const bill = {
  packages,
  licences: tally(packages.map(({ licence }) => [licence, 1])),
  codeByLanguage: tally(packages.flatMap(({ lines }) => Object.entries(lines))),
  totals: {
    packages: packages.length,
    files: sum(packages.map(({ files }) => files)),
    bytes: sum(packages.map(({ bytes }) => bytes)),
    code: sum(packages.map(({ code }) => code)),
  },
}
writeFileSync(join(pfs, 'out', 'packages.csv'), csv(packages))
writeFileSync(join(pfs, 'out', 'report.md'), report(bill))
writeFileSync(join(pfs, 'out', 'chart.svg'), chart(bill))
console.log(`${bill.totals.packages} packages, ${bill.licences.length} licences`)
