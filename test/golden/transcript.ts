import { readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PachctlRun } from './pachctl-run.ts'

const updates = process.env['UPDATE_GOLDEN'] === '1'
/** Those of tests. */
const directories = new RegExp(`${RegExp.escape(join(tmpdir(), 'pachyderm-test-'))}\\w+`, 'g')

/** What a person sees who runs commands one after another, with all that chance decides masked. */
export class Transcript {
  readonly #names = new Map<string, string>()
  readonly #counts = new Map<string, number>()
  #text = ''

  add(command: string, { out, err, code }: PachctlRun): void {
    this.#text += `$ pachctl ${this.#masked(command)}\n${this.#masked(out)}`
    if (out !== '' && !out.endsWith('\n')) this.#text += '⏎\n'
    if (err !== '') this.#text += this.#masked(err).replaceAll(/^/gm, '! ').replace(/! $/, '')
    if (code !== 0) this.#text += `exit ${code}\n`
    this.#text += '\n'
  }

  get text(): string {
    return this.#text
  }

  /** What it must be. To store it as it is, after which review the diff: `UPDATE_GOLDEN=1`. */
  stored(name: string): string {
    const path = new URL(`transcripts/${name}.txt`, import.meta.url)
    if (updates) writeFileSync(path, this.#text)
    return readFileSync(path, 'utf8')
  }

  #masked(text: string): string {
    return text
      .replaceAll(/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, (id) => this.#name('job', id))
      .replaceAll(/\b[0-9a-f]{64}\b/g, (id) => this.#name('hash', id))
      .replaceAll(/\b[0-9a-f]{32}\b/g, (id) => this.#name('commit', id))
      .replaceAll(/"[A-Za-z0-9+/]{43}="/g, '"<base64>"')
      .replaceAll(
        /(?:Less than a second|\d+ seconds?|About a minute|\d+ minutes)( ago)? */g,
        '<time>$1 ',
      )
      .replaceAll(/( Time {2,})[\d.]+(?:ms|µs|s) */g, '$1<time> ')
      .replaceAll(/^took [\d.]+(?:µs|ms|s)$/gm, 'took <time>')
      .replaceAll(/\b(CREATED|STARTED|FINISHED|TAGGED|DURATION|TIME) +/g, '$1 ')
      .replaceAll(/"\d{4}-\d\d-\d\dT[\d:.]+Z"/g, '"<date>"')
      .replaceAll(/127\.0\.0\.1:\d+/g, '<address>')
      .replaceAll(directories, '<directory>')
      .replaceAll(/\bpachctl-\w{6}(?=\/)/g, 'pachctl-<random>')
      .replaceAll(/1\.5\.3-ts-[\d.]+ */g, '<version> ')
  }

  /** The same for the same text, so that what belongs together still shows. */
  #name(kind: string, id: string): string {
    const known = this.#names.get(id)
    if (known !== undefined) return known
    const count = (this.#counts.get(kind) ?? 0) + 1
    this.#counts.set(kind, count)
    const name = `<${kind} ${count}>`
    this.#names.set(id, name)
    return name
  }
}
