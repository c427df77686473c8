"""What the ending of a file's name says about it: video, audio or picture. The one list of them.

FFmpeg goes by a file's content, and its own lists of endings are made for other ends: they have no .ts and no .wma,
but .txt. So the endings that people meet are listed here; a test compares them with what FFmpeg knows. Kinds that
nobody can read without being told more (raw samples and raw pixels) and subtitles are left out.
"""

from __future__ import annotations


def _endings(words: str) -> frozenset[str]:
    return frozenset(f".{word}" for word in words.split())


VIDEO_ENDINGS = _endings(
    # MPEG-4 and QuickTime, Matroska, MPEG and its discs and cameras, Windows, Flash, Real, Ogg, phones
    "mp4 m4v mov qt f4v ism ismv psp mj2 3gp 3gpp 3g2 mkv mk3d webm insv lrv "
    "mpg mpeg mpe mpv m1v m2v ts m2ts mts m2t mpegts tp trp vob evo vro mod tod "
    "wmv asf avi divx xvid dv dif dvr-ms wtv ivr amv flv kux swf rm rmvb "
    "ogv ogm mxf gxf lxf imx nut nsv nuv y4m dvd ty+ "
    # streams without a container
    "h261 h263 h264 264 avc h26l h265 265 hevc h266 266 vvc ivf av1 obu vc1 rcv drc cavs avs avs2 avs3 "
    "evc apv vc2 dnxhd dnxhr mjpeg mjpg "
    # cameras, games and what is old
    "dav ty cdg bik smk flc fli flm roq mve mvi viv vivo xmv cpk yop mods moflex cdxl xl ifv ipu lvf mxg "
    "pdv pmp pva rl2 ser sga usm bmv gdv"
)
AUDIO_ENDINGS = _endings(
    "wav wave bwf w64 rf64 aiff aif aifc au snd caf flac wv ape apl mac tta tak shn ofr mlp thd alac osq bonk rka "
    "mp3 mp2 mp1 mpa m2a m4a m4b m4r isma aac adts aax aa ac3 ac4 eac3 ec3 dts dtshd ogg oga opus spx wma xwma ra "
    "weba mka amr awb 3ga qcp gsm sbc msbc lc3 lbc ilbc g722 722 g728 g729 g723_1 tco rco c2 iamf apc aptx aptxhd "
    "mpc mpp voc sph nist ircam sf sox mmf oma aa3 omg dsf dff wsd laf vqf vql vqe dss pvf paf fap qoa "
    # games and what is old
    "aea acm act adp dtk ads ss2 adx afc aix al ast bcstm bfstm brstm binka dfpwm epaf fsb fwse genh hca mca msf mtaf "
    "musx rso rsd sdns sds sdx sln son svag svs vag vpk wa way xa xmd xvag daud 302 vb avr cvg aud nsp latm loas"
)
PICTURE_ENDINGS = _endings(
    "png apng jpg jpeg jpe jfif jif jfi mpo webp bmp dib gif tif tiff heic heif hif avif jxl jp2 j2k jpx jpf j2c jpc "
    "jls ppm pgm pbm pnm pam pfm phm pgmyuv tga targa pcx sgi bw exr hdr dds qoi ico xbm xpm xwd ras sun dpx cin psd "
    "pct pict fits fit jxs ljpg pix sunras rs im1 im8 im24 vbn"
)
MEDIA_ENDINGS = VIDEO_ENDINGS | AUDIO_ENDINGS | PICTURE_ENDINGS
