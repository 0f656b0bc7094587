const lookAfter = 'see that it is up, and that the machine of pachd reaches it'

interface Reason {
  /** What the libraries and the system call it. */
  readonly codes: RegExp
  readonly text: string
}

/** Each with what to do. */
const reasons: readonly Reason[] = [
  {
    codes: /^ENOTFOUND$/,
    text: 'there is no host of its name (ENOTFOUND): see that it is written right',
  },
  {
    // The name may be right: a server of names did not answer, as on a machine without a network.
    codes: /^EAI_AGAIN$/,
    text: 'its host cannot be looked up now (EAI_AGAIN): see that the machine of pachd reaches its server of names',
  },
  {
    codes: /^ECONNREFUSED$/,
    text: `nothing listens there (ECONNREFUSED): ${lookAfter}`,
  },
  {
    codes: /^(?:TimeoutError|ETIMEDOUT|ESOCKETTIMEDOUT|UND_ERR_\w*TIMEOUT)$/,
    text: `it did not answer in time: ${lookAfter}, through firewalls, too`,
  },
  {
    codes: /^E(?:HOST|NET)(?:UNREACH|DOWN)$/,
    text: `there is no way to it: ${lookAfter}`,
  },
  {
    codes: /^(?:ECONNRESET|EPIPE|UND_ERR_SOCKET)$/,
    text: `the connection broke: ${lookAfter}`,
  },
  {
    codes: /^(?:EPROTO|ERR_SSL_\w+)$/,
    text: 'no connection by TLS can be made: see whether it is http:// at that port, in place of https://',
  },
]

/** Why a call had no answer, and what to do about it. */
export function unansweredText(code: string): string {
  if (code === '') return `it gave no answer: ${lookAfter}`
  const known = reasons.find(({ codes }) => codes.test(code))?.text ?? distrustOf(code)
  return known ?? code
}

/** What is said of a certificate, if that is what `code` is about; `reason` is for people. */
export function distrustOf(code: string, reason: string = code): string | undefined {
  if (!/CERT|SELF_SIGNED|ERR_TLS|UNABLE_TO/.test(code)) return undefined
  return `its certificate cannot be trusted (${reason}); to trust one of your own, start pachd with NODE_EXTRA_CA_CERTS=FILE`
}
