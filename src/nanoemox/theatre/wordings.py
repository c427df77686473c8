"""More wordings: further test sentences in English, and the whole world of words in Chinese (dials of `dials.py`).

`{a|b}` is a free choice, as in `words.py`. None of these sentences is in a clip whose dials are at their defaults.
"""

from __future__ import annotations

# Together with the two of `words.py` ten test sentences for each family.
MORE_TEST_CORES: dict[str, tuple[str, ...]] = {
    "praise": (
        "this is {great|brilliant} work, well done",
        "you did that {brilliantly|so well}",
        "I admire how {great|impressive} your work is",
        "nobody does such {excellent|wonderful} work",
        "what {wonderful|excellent} work you did here",
        "you are {brilliant|great}, what a job",
        "I must say you did this really well",
        "your work is {impressive|excellent}, I admire it",
    ),
    "grumble": (
        "nothing goes right {today|this week}, it always goes wrong",
        "why is it always me, I have had enough",
        "it had to {break|go wrong} this week of course",
        "I have had this trouble {every day|every week}",
        "nothing ever goes the way it should with me",
        "it always has to {break|happen} to me",
        "enough of this trouble, nothing works",
        "this is the {third|second} time that nothing works",
    ),
    "sorry": (
        "I am {truly|very} sorry that I can not do this",
        "sorry, I regret it {so|very} much",
        "I apologise that it has come to this",
        "excuse me, I am {so|really} sorry",
        "I beg your pardon, that is how I see it",
        "forgive me that I {could not|can not} go along",
        "pardon me, I {really|truly} regret this",
        "I apologise, I could not do it any other way",
    ),
    "thanks": (
        "thank you for being so {kind|very kind}",
        "many thanks, I {really|truly} needed that",
        "I owe you many thanks for {this|that}",
        "thanks a lot for everything you did",
        "how kind, I have to thank you",
        "thank you {indeed|so much}, that is what I needed",
        "I really owe you thanks for everything",
        "thanks for all of this, how kind of you",
    ),
    "wellbeing": (
        "hello, how have you been",
        "how do you feel, is everything {fine|all right}",
        "are you {feeling|doing} fine today",
        "there you are, how are you",
        "it is good to see you, are you {well|all right}",
        "tell me how you {are|feel} today",
        "I was wondering how you have been",
        "is everything all right with you today",
    ),
    "news": (
        "look what they told me this morning",
        "I have something to tell you, guess what",
        "you should know what I {heard|found out} today",
        "have you heard what just happened to me",
        "let me tell you the news I {heard|got}",
        "see what I {found|got} today",
        "I just {found|heard} something this morning",
        "guess what, it was me after all",
    ),
    "going": (
        "it is time, I have to {go|leave}",
        "we should {go|leave} before it gets late",
        "I will be off at {six|nine}",
        "come, let us get {going|moving}",
        "the {train|car} is waiting, I have to go",
        "I am going now, it gets late",
        "let us leave tomorrow morning at {six|nine}",
        "we should be off, the {bus|train} is waiting",
    ),
    "consent": (
        "yes, I think so too, you are right",
        "{sure|of course}, we can do it that way",
        "I agree, it will work out",
        "all right, you can count on me",
        "certainly, I think you are right",
        "yes, I am with you, it will be {fine|all right}",
        "exactly, that is how we do it",
        "of course, I agree with you",
    ),
    "caution": (
        "be careful, do not {touch|do} it",
        "wait, you should {never|not} go near that",
        "better slow down before you {touch|do} that",
        "please keep away from {that|this}",
        "stop, I would not do it like this",
        "watch out, be careful with {this|that}",
        "you should wait, do not go there yet",
        "better stay back, I would not touch that",
    ),
    "request": (
        "could I ask you to come over here",
        "would you {please|kindly} come and see us",
        "may I ask for a {hand|moment} please",
        "could you meet my {friend|neighbour} for a minute",
        "I would like you to join us here",
        "please {look|listen}, this is my friend",
        "can I have a {minute|moment} of your time please",
        "would you please meet somebody here",
    ),
}

# Of the ten cores of a family the first five are for training, one for val, four for test.
CHINESE: dict[str, tuple[str, ...]] = {
    "praise": (
        "你做得{真棒|太好了}", "你的工作{很出色|很了不起}", "我真佩服你{做的事|的本领}", "没有人做得像你这么好", "你真{厉害|能干}",
        "做得好，我很佩服你", "你做得这么出色，{真棒|了不起}", "我佩服你的工作，{很好|太棒了}", "你真了不起，没有人像你这么能干", "太好了，你的本领真厉害",
    ),
    "grumble": (
        "我总是这么倒霉", "当然又{坏|出错}了", "为什么{总是|偏偏}我遇到这种事", "这个星期已经是第{二|三}次出错了", "什么事都不顺利",
        "这种麻烦我受够了", "又是一样的麻烦，{总是|每天}这样", "为什么什么都不顺利", "我受够了，又{坏|出错}了", "总是我倒霉，每天都有麻烦",
    ),
    "sorry": (
        "{真|非常}对不起", "抱歉，我{不能|没办法}这样做", "我很遗憾变成这样", "请原谅，我就是这么{想|看}的", "不好意思，我不能同意",
        "请你原谅我这样做", "对不起，我{没办法|不能}同意", "很抱歉，变成了这样", "请原谅，我非常遗憾", "不好意思，我真的没办法",
    ),
    "thanks": (
        "{非常|太}感谢你了", "多谢，这正是我需要的", "谢谢你做的一切", "我{真的|一定}要谢谢你", "这都要感谢你",
        "你真好，谢谢你", "谢谢你，你对我真好", "多谢你做的这些", "我真的非常感谢", "感谢你，我正需要这个",
    ),
    "wellbeing": (
        "你今天{怎么样|好吗}", "你还好吗", "告诉我你最近怎么样", "见到你真好，你觉得怎么样", "你好，一切都{好|顺心}吗",
        "我一直在想你好不好", "你好，最近{还好|顺心}吗", "你来了，今天觉得怎么样", "告诉我你还好吗", "我想知道你一切好不好",
    ),
    "news": (
        "{看|瞧}我拿到了什么", "我有{消息|事情}要告诉你", "你该知道我刚才遇到了什么", "让我告诉你我今天{找到|得到}了什么", "你听说了吗，原来是我的",
        "我今天早上刚{听说|知道}", "你猜他们告诉我什么", "让我告诉你今天的消息", "你猜我{得到|找到}了什么", "你听说我刚才的事情了吗",
    ),
    "going": (
        "我现在得走了", "{时间到了|不早了}，该走了", "我们应该快点动身", "我{六点|九点}离开", "趁天还早，我们走吧",
        "来吧，{车|火车}在等我们", "不早了，我得动身了", "我们{六点|九点}走吧", "时间到了，火车在等", "来吧，我们该离开了",
    ),
    "consent": (
        "好的，{当然|一定}", "你说得对，会好的", "{行|可以}，我和你一起", "我{同意|也这么想}，就这样办", "好，你可以相信我",
        "没错，就这么办", "当然，你说得对", "可以，我同意你", "没错，我和你一起，会好的", "好的，我也这么想，相信我",
    ),
    "caution": (
        "{等等|停下}，别{碰|做}那个", "你{不该|千万别}这样做", "{小心|当心}这个", "我现在不会那样做", "最好离它远一点",
        "请慢一点再走", "当心，别{过去|靠近}", "小心，最好别碰它", "等等，千万别靠近那个", "停下，你最好离远一点",
    ),
    "request": (
        "请你{过来|到这边来}看看好吗", "可以占用你一点时间吗", "请你帮我朋友一个忙好吗", "这是我的{朋友|邻居}，你能听听吗", "我想请你{见见|认识}一个人",
        "请来和我们见个面", "我可以请你过来吗", "请你{见见|认识}我的朋友好吗", "可以请你帮个忙吗", "你能过来听听吗，这是我邻居",
    ),
}  # fmt: skip
OPENERS = ("", "", "", "嗯，", "哦，", "听我说，", "你知道，", "那么，")
TONE_REMARKS = {
    "glad": ("真美好", "今天天气真好", "我喜欢今天"),
    "sour": ("真糟糕", "今天真讨厌", "我讨厌今天"),
}
MENTIONS = ("因为那个{}", "是关于那个{}的", "你看那个{}", "自从有了那个{}", "我是说那个{}")
PROP_WORDS: dict[str, tuple[str, ...]] = {
    "birthday cake": ("生日蛋糕", "蛋糕"),
    "wrapped gift": ("礼物", "礼盒"),
    "trophy": ("奖杯", "奖品"),
    "letter": ("信", "信封"),
    "broken vase": ("碎花瓶", "花瓶"),
    "spilled drink": ("打翻的饮料", "一摊果汁"),
    "packed suitcase": ("行李箱", "行李"),
    "late clock": ("钟", "晚点"),
    "lightning": ("闪电", "暴风雨"),
    "spider": ("蜘蛛", "大蜘蛛"),
    "wilted plant": ("枯萎的植物", "枯花"),
    "spoiled food": ("坏掉的食物", "烂水果"),
}
