import { expect, test } from 'vitest'
import type { Listing, ListingRow } from './listings.ts'
import { pageTexts } from './pages.ts'

async function* rows(...all: readonly ListingRow[]): AsyncGenerator<ListingRow> {
  yield* all
}

function listing(...sections: Listing['sections']): Listing {
  return {
    title: 'data@master:/d',
    trail: [
      { before: '', text: 'data', href: '../' },
      { before: '@', text: 'master', href: './' },
    ],
    facts: ['open'],
    forms: [{ text: 'as JSON', href: './?format=json' }],
    json: {},
    sections,
  }
}

async function pageOf(shown: Listing): Promise<string> {
  return (await Array.fromAsync(pageTexts(shown))).join('')
}

test('a page says, to who hears it, what each of its parts is', async () => {
  const cells = [
    { text: 'f', href: './f' },
    { text: '3', isNumber: true },
    { text: 'download', href: './f', label: 'download f' },
  ] as const
  const columns = [
    'Name',
    { text: 'Bytes', isNumber: true },
    { text: '', label: 'Download' },
  ] as const
  const page = await pageOf(listing({ name: 'entries', columns, rows: rows({ cells, json: {} }) }))
  expect(page).toContain('<html lang="en">')
  expect(page).toContain(
    '<nav aria-label="Path"><h1><a href="../"><bdi>data</bdi></a><span>@</span><a href="./" aria-current="page"><bdi>master</bdi></a></h1></nav>',
  )
  expect(page).toContain(
    '<caption>entries</caption>\n<thead><tr><th scope="col">Name</th><th scope="col" class="n">Bytes</th><th scope="col" aria-label="Download"></th></tr></thead>',
  )
  expect(page).toContain(
    '<tr><th scope="row"><a href="./f"><bdi>f</bdi></a></th><td class="n"><bdi>3</bdi></td><td><a href="./f" aria-label="download f"><bdi>download</bdi></a></td></tr>',
  )
  expect(page).toMatch(/<main>[^]*<\/main>\n<footer>/)
})

test('an empty list says so', async () => {
  const page = await pageOf(listing({ name: 'entries', columns: ['Name', 'About'], rows: rows() }))
  expect(page).toContain('<tr><td class="none" colspan="2">nothing</td></tr>')
})

test('labels are escaped, too', async () => {
  const cells = [{ text: '"><b>', href: '"><b>', label: '"><b>' }]
  const page = await pageOf(
    listing({ name: '<b>', columns: ['<b>'], rows: rows({ cells, json: {} }) }),
  )
  expect(page).not.toContain('<b>')
  expect(page).toContain('aria-label="&quot;&gt;&lt;b&gt;"')
})
