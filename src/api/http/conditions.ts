import type { IncomingHttpHeaders } from 'node:http'

/** What the conditions of a request come to, by RFC 9110, section 13. */
export type ConditionOutcome = 'go on' | 'not modified' | 'failed'

/**
 * Evaluates the conditions that name an entity tag. Those that name a date are passed over, as they may
 * be: a branch can move twice in a second, which a date does not show.
 *
 * `tag` is a strong one, with its quotes.
 */
export function evaluateConditions(headers: IncomingHttpHeaders, tag: string): ConditionOutcome {
  const { 'if-match': match, 'if-none-match': noneMatch } = headers
  if (match !== undefined && !namesTag(match, tag, 'strong')) return 'failed'
  if (noneMatch !== undefined && namesTag(noneMatch, tag, 'weak')) return 'not modified'
  return 'go on'
}

/** Whether a range may be served to who has a part already: only of this very file. */
export function isRangeCurrent(
  { 'if-range': condition }: IncomingHttpHeaders,
  tag: string,
): boolean {
  return condition === undefined || String(condition).trim() === tag
}

function namesTag(header: string, tag: string, comparison: 'strong' | 'weak'): boolean {
  if (header.trim() === '*') return true
  const named = header.match(/(?:W\/)?"[^"]*"/g) ?? []
  return named.some((one) => one === tag || (comparison === 'weak' && one === `W/${tag}`))
}
