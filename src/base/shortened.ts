const quotedLengthMax = 200

/** As much of a text as a message quotes; of the rest it says how long it is. */
export function shortened(text: string, lengthMax: number = quotedLengthMax): string {
  if (text.length <= lengthMax) return text
  return `${text.slice(0, lengthMax).toWellFormed()}… (${text.length - lengthMax} more characters)`
}
