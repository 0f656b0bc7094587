import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { S3Error } from './errors.ts'
import { XmlElement } from './xml-documents.ts'
import { urlEncoded, xmlDocument } from './xml-text.ts'

async function codeOf(text: string): Promise<string> {
  try {
    const document = await XmlElement.parse(text, 'Delete')
    document.all('Object').map((one) => one.text('Key'))
    return 'none'
  } catch (error) {
    if (error instanceof S3Error) return error.code
    throw error
  }
}

/** Without what no XML can hold. */
function clean(text: string): string {
  return text.toWellFormed().replaceAll(/\0|[\ufffe\uffff]/g, '\ufffd')
}

describe('documents of S3', () => {
  test('any text comes back as it was written, but for what no XML can hold', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'binary', minLength: 1 }), { minLength: 1 }),
        async (keys) => {
          const text = xmlDocument('Delete', { Object: keys.map((Key) => ({ Key })) })
          const document = await XmlElement.parse(text, 'Delete')
          expect(document.all('Object').map((one) => one.text('Key'))).toEqual(keys.map(clean))
        },
      ),
    )
  })

  test('references are decoded once', async () => {
    const text = '<Delete><Object><Key>&amp;lt;&#34;&#x1F600;&apos; </Key></Object></Delete>'
    const document = await XmlElement.parse(text, 'Delete')
    const [object] = document.all('Object')
    expect(object?.text('Key')).toBe('&lt;"\u{1f600}\' ')
  })

  test('what is malformed, or more than they need, is refused', async () => {
    const deep = '<a>'.repeat(500_000)
    const laughs = `<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">]><Delete>&a;</Delete>`
    for (const text of [
      '',
      'text',
      '<Delete>',
      '<Other/>',
      '<Delete></Other>',
      laughs,
      `<Delete>${'<a>'.repeat(50)}${'</a>'.repeat(50)}</Delete>`,
      `<Delete>${deep}`,
      `<Delete><Object><Key>&nbsp;</Key></Object></Delete>`,
      `<Delete><Object><Key>a & b</Key></Object></Delete>`,
      `<Delete><Object><Key>&#xd800;</Key></Object></Delete>`,
      `<Delete><Object><Key><![CDATA[&amp;]]></Key></Object></Delete>`,
      `<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>`,
      `<Delete><Object><Key><a>b</a></Key></Object></Delete>`,
    ]) {
      expect([text.slice(0, 80), await codeOf(text)]).toEqual([text.slice(0, 80), 'MalformedXML'])
    }
    const odd =
      '<Delete><__proto__>a</__proto__><constructor/><Object><Key>k</Key></Object></Delete>'
    expect(['none', 'MalformedXML']).toContain(await codeOf(odd))
    expect({}).not.toHaveProperty('a')
  })

  test('keys are percent-encoded but for slashes and what is plain', () => {
    expect(urlEncoded("a/b c+%'(é)*!\n~")).toBe('a/b%20c%2B%25%27%28%C3%A9%29%2A%21%0A~')
  })
})
