import { groupedText } from './counts.ts'
import type { Affected, CheckCounts, RepairState, Severity } from './findings.ts'

/** What of a finding people read. */
export interface FindingLines {
  readonly kind: string
  readonly severity: Severity
  readonly what: string
  readonly meaning: string
  readonly advice: string
  readonly repair: RepairState
  readonly affected: Affected
}

/** Names of what is affected that are shown. */
const shownMax = 10

const titles: Readonly<Record<Severity, string>> = { error: 'ERROR', warning: 'warning' }

/** Some lines on one finding. Control characters in names are written out. */
export function findingText(finding: FindingLines): string {
  const { kind, severity, what, meaning, advice, repair, affected } = finding
  const title = repair === 'done' ? 'repaired' : titles[severity]
  const lines = [`${title} ${kind}: ${what}`, `  ${meaning}`]
  if (affected.count > 0) {
    lines.push(`  Concerned: ${counted(affected.count, 'file')}`)
    const shown = affected.names.slice(0, shownMax)
    for (const name of shown) lines.push(`    ${name}`)
    if (affected.names.length > shown.length) lines.push('    …')
  }
  if (repair === 'possible') lines.push('  To repair: run fsck with --fix')
  else if (repair === 'none') lines.push(`  To repair: ${advice}`)
  return `${lines.map(plain).join('\n')}\n`
}

/** What a check has looked at and found, for its end. */
export function summaryText(counts: CheckCounts, full: boolean): string {
  const { rows, nodes, chunks, packs, bytes, bytesTotal } = counts
  const lines = [
    `checked ${counted(rows, 'row')}, ${counted(nodes, 'node')} of trees and ${counted(chunks, 'chunk')} in ${counted(packs, 'pack')}`,
    full
      ? `read all ${counted(bytes, 'byte')} of the packs`
      : `did not read the ${counted(bytesTotal, 'byte')} of the packs; --full does`,
  ]
  // With damage, what is below it has not been walked.
  if (counts.unreferencedChunks > 0 && counts.errors === 0) {
    const whole =
      counts.unreferencedPacks === 0
        ? ''
        : `, among them all of ${counted(counts.unreferencedPacks, 'pack')} with ${counted(counts.unreferencedBytes, 'byte')}`
    lines.push(
      `nothing refers to ${counted(counts.unreferencedChunks, 'chunk')}${whole}; that is no damage`,
    )
  }
  lines.push(verdict(counts))
  return `${lines.join('\n')}\n`
}

function verdict({ errors, warnings, repaired }: CheckCounts): string {
  if (errors + warnings + repaired === 0) return 'no damage'
  const parts = [counted(errors, 'error'), counted(warnings, 'warning')]
  if (repaired > 0) parts.push(`${groupedText(repaired)} repaired`)
  return parts.join(', ')
}

/** How far a check is, for one line. */
export function progressText(stage: string, counts: CheckCounts, full: boolean): string {
  const { rows, nodes, chunks, packs, bytes, bytesTotal } = counts
  const read = full ? `, ${groupedText(bytes)} of ${groupedText(bytesTotal)} bytes` : ''
  return `checking ${stage}: ${groupedText(rows)} rows, ${groupedText(nodes)} nodes, ${groupedText(chunks)} chunks, ${groupedText(packs)} packs${read}`
}

function counted(count: number, word: string): string {
  return `${groupedText(count)} ${word}${count === 1 ? '' : 's'}`
}

function plain(line: string): string {
  return line.replaceAll(
    /\p{Cc}/gu,
    (character) => String.raw`\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
}
