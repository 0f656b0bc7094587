import { readFile } from 'node:fs/promises'

/** The version of this package, from its `package.json`. */
export async function readRelease(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  const { version } = JSON.parse(text) as { readonly version: string }
  return version
}
