/** What the content type of a message says about what may be done with its body. */

const mediaType = /^([\w\-.!%*+`'~]+)[ \t]*\/[ \t]*([\w\-.!%*+`'~]+)[ \t]*(?:$|;)/

/** Type and subtype in lower case, without parameters; null: malformed. */
export function mediaTypeOf(contentType: string): string | null {
  const [, type, subtype] = mediaType.exec(contentType) ?? []
  return type === undefined || subtype === undefined ? null : `${type}/${subtype}`.toLowerCase()
}

const charsetParameter = /;[ \t]*charset[ \t]*=[ \t]*"?([\w\-.:+]+)/i
/** Character sets in which a text of ASCII can stand before any other. */
const asciiBased =
  /^(?:utf-?8|(?:us-)?ascii|iso-8859-\d+|windows-125\d|koi8-[ru]|gb2312|gbk|gb18030|big5|euc-\w+|shift_jis)$/i

/** Whether ASCII in front of the octets of such a text is text in front of it. */
export function takesAscii(contentType: string): boolean {
  const [, charset = 'utf-8'] = charsetParameter.exec(contentType) ?? []
  return asciiBased.test(charset)
}

/** What no person has written: that another message was delivered (RFC 5438), that somebody is typing (RFC 3994). */
export const machineMade: ReadonlySet<string> = new Set(['message/imdn+xml', 'application/im-iscomposing+xml'])
