import { readFileSync } from 'node:fs'

/** The version that this program keeps to, with our own release: `1.5.3-ts-0.1.0`. */
export function readRelease(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  const { version } = JSON.parse(text) as { readonly version: string }
  return `1.5.3-ts-${version}`
}
