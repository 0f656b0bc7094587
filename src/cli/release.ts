import { readFile } from 'node:fs/promises'

/** The version that this program keeps to, with our own release: `1.5.3-ts-0.1.0`. */
export async function readRelease(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  const { version } = JSON.parse(text) as { readonly version: string }
  return `1.5.3-ts-${version}`
}
