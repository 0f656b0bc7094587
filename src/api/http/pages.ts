import { createHash } from 'node:crypto'
import type { OutgoingHttpHeaders } from 'node:http'
import type { Failure } from './failures.ts'
import { pageSecurityPolicy } from './headers.ts'
import type { Cell, Listing, ListingSection } from './listings.ts'

// Pages without scripts and without anything from elsewhere: what is shown was put by anybody.

const style = `
:root{color-scheme:light dark;--line:color-mix(in srgb,currentColor 14%,transparent);--soft:color-mix(in srgb,currentColor 62%,transparent);--link:light-dark(#0b57a4,#8ab8ff)}
body{font:15px/1.55 system-ui,sans-serif;max-width:64rem;margin:2.5rem auto;padding:0 1.25rem}
a{color:var(--link);text-decoration:none}
a:hover,a:focus-visible{text-decoration:underline}
h1{font-size:1.25rem;font-weight:600;margin:0;overflow-wrap:anywhere}
h1 span{color:var(--soft);font-weight:400;margin:0 .15em}
.facts,footer{color:var(--soft);font-size:.875rem;margin:.4rem 0 1.5rem}
footer{margin:1.5rem 0}
table{border-collapse:collapse;width:100%;margin:0 0 2rem}
caption{text-align:left;font-weight:600;padding-bottom:.3rem}
table:only-of-type caption{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
th,td{border-bottom:1px solid var(--line);padding:.32rem .75rem .32rem 0;text-align:left;vertical-align:top}
th{font-weight:400;overflow-wrap:anywhere}
thead th{font-weight:500;color:var(--soft);font-size:.8125rem}
td,th+th{white-space:nowrap}
.n{text-align:right;font-variant-numeric:tabular-nums}
.none{color:var(--soft)}
tbody tr:hover{background:color-mix(in srgb,currentColor 4%,transparent)}
`.trim()

const styleHash = `sha256-${createHash('sha256').update(style).digest('base64')}`

/** Headers of every page. */
export const pageHeaders: OutgoingHttpHeaders = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': pageSecurityPolicy(styleHash),
}

/** A listing as a page, piece by piece. */
export async function* pageTexts(listing: Listing): AsyncGenerator<string> {
  yield head(listing.title)
  const trail = listing.trail.map(({ before, ...step }, index) => {
    const isHere = index === listing.trail.length - 1
    const between = before === '' ? '' : `<span>${escaped(before)}</span>`
    return between + link(step, isHere ? ' aria-current="page"' : '')
  })
  yield `<header>\n<nav aria-label="Path"><h1>${trail.join('')}</h1></nav>\n`
  yield `<p class="facts">${listing.facts.map(escaped).join(' · ')}</p>\n</header>\n<main>\n`
  for (const section of listing.sections) yield* sectionTexts(section)
  yield '</main>\n'
  yield `<footer>${listing.forms.map((form) => link(form)).join(' · ')}</footer>\n`
}

/** What went wrong, as a page. */
export function failurePage({ status, message }: Failure): string {
  return `${head(`${status}`)}<main>\n<h1>${status}</h1>\n<p>${escaped(message)}</p>\n</main>\n`
}

/** A short page of sentences, with links. */
export function notePage(
  title: string,
  lines: readonly string[],
  links: readonly { readonly text: string; readonly href: string }[],
): string {
  const sentences = lines.map((line) => `<p>${escaped(line)}</p>\n`).join('')
  const leads = links.map((lead) => `<p>${link(lead)}</p>\n`).join('')
  return `${head(title)}<main>\n<h1>${escaped(title)}</h1>\n${sentences}${leads}</main>\n`
}

async function* sectionTexts({ name, columns, rows }: ListingSection): AsyncGenerator<string> {
  const heads = columns.map((column) => {
    const cell = typeof column === 'string' ? { text: column } : column
    return `<th scope="col"${classOf(cell)}${labelOf(cell)}>${escaped(cell.text)}</th>`
  })
  yield `<table>\n<caption>${escaped(name)}</caption>\n<thead><tr>${heads.join('')}</tr></thead>\n<tbody>\n`
  let isEmpty = true
  for await (const { cells } of rows) {
    isEmpty = false
    yield `<tr>${cells.map((cell, index) => cellText(cell, index === 0)).join('')}</tr>\n`
  }
  if (isEmpty) yield `<tr><td class="none" colspan="${columns.length}">nothing</td></tr>\n`
  yield '</tbody>\n</table>\n'
}

/** The first of a row is what the others are about. */
function cellText(cell: Cell, isFirst: boolean): string {
  const { text, href } = cell
  const inner = href === undefined ? isolated(text) : link({ ...cell, href })
  const name = isFirst ? 'th' : 'td'
  return `<${name}${isFirst ? ' scope="row"' : ''}${classOf(cell)}>${inner}</${name}>`
}

function labelOf({ label }: Cell): string {
  return label === undefined ? '' : ` aria-label="${escaped(label)}"`
}

function classOf({ isNumber }: Cell): string {
  return isNumber === true ? ' class="n"' : ''
}

function link(cell: Cell & { readonly href: string }, attributes = ''): string {
  return `<a href="${escaped(cell.href)}"${labelOf(cell)}${attributes}>${isolated(cell.text)}</a>`
}

/** So that a name in another direction of writing turns nothing about but itself. */
function isolated(text: string): string {
  return text === '' ? '' : `<bdi>${escaped(text)}</bdi>`
}

function head(title: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${style}</style>
`
}

const characters: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/**
 * A text as it is, for a page: what cannot be seen, or turns what is around it about, is written out.
 */
function escaped(text: string): string {
  return text
    .replaceAll(/[&<>"']/g, (character) => characters[character] ?? '')
    .replaceAll(
      /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
    )
}
