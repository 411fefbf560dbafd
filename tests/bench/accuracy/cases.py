# ruff: noqa: E501  A case is one line.
"""The prompts of the evaluation set and the calls that are right.

The set was written before anything was tuned, and no case was changed or left out afterwards because of what the model
said. Even places are the development half, which settings may be chosen by; odd places are the test half.
A tuple holds values that are equally right. `[]` means that no tool fits: no call may be acted on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["single", "double", "optional", "enum", "words", "off_topic", "adversarial"]
Call = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Case:
    """A prompt to the agent that has the tools of `toolset`."""

    toolset: str
    kind: Kind
    prompt: str
    calls: list[Call]


def _call(tool_name: str, /, **arguments: Any) -> Call:
    return tool_name, arguments


_ROWS: dict[str, list[tuple[Kind, str, list[Call]]]] = {
    "kitchen": [
        ("single", "ten minutes for the eggs", [_call("set_timer", minutes=10, label="eggs")]),
        ("single", "set a timer for 25 minutes", [_call("set_timer", minutes=25)]),
        ("single", "cancel the pasta timer", [_call("cancel_timer", label=("pasta", "pasta timer"))]),
        ("single", "put olive oil on the shopping list", [_call("add_to_shopping_list", item="olive oil")]),
        ("optional", "we need 6 lemons, add them to the list", [_call("add_to_shopping_list", item=("lemons", "lemon"), quantity=6)]),
        ("optional", "preheat to 200 with the fan on", [_call("set_oven", celsius=200, mode="fan")]),
        ("enum", "grill at 250 degrees please", [_call("set_oven", celsius=250, mode="grill")]),
        ("enum", "how many grams are 8 ounces", [_call("convert_units", amount=8, from_unit="ounce", to_unit="gram")]),
        ("words", "half an hour for the rice", [_call("set_timer", minutes=30, label="rice")]),
        ("words", "convert two and a half cups to milliliters", [_call("convert_units", amount=2.5, from_unit="cup", to_unit="milliliter")]),
        ("words", "add a dozen eggs to my shopping list", [_call("add_to_shopping_list", item=("eggs", "egg"), quantity=12)]),
        ("words", "an hour and a quarter for the roast", [_call("set_timer", minutes=75, label="roast")]),
        ("double", "5 minutes for the tea and 12 minutes for the pasta", [_call("set_timer", minutes=5, label="tea"), _call("set_timer", minutes=12, label="pasta")]),
        ("double", "heat the oven to 180 and set a timer for 40 minutes", [_call("set_oven", celsius=180), _call("set_timer", minutes=40)]),
        ("off_topic", "who wrote Moby Dick?", []),
        ("off_topic", "turn on the radio", []),
        ("adversarial", "don't set a timer for the bread", []),
        ("adversarial", "set a timer", []),
        ("adversarial", "heat the oven to 900 degrees", []),
        ("adversarial", "is the oven still hot?", []),
    ],
    "home": [
        ("single", "turn on the lights in the kitchen", [_call("set_light", room="kitchen", is_on=True)]),
        ("single", "lights off in the bedroom please", [_call("set_light", room="bedroom", is_on=False)]),
        ("single", "set the heating to 21 degrees", [_call("set_thermostat", celsius=21)]),
        ("single", "lock the front door", [_call("lock_door", door="front")]),
        ("enum", "open the blinds in the office", [_call("set_blinds", room="office", position="open")]),
        ("enum", "close the living room blinds halfway", [_call("set_blinds", room="living_room", position="half")]),
        ("enum", "send the robot back to its dock", [_call("vacuum", action="dock")]),
        ("optional", "vacuum the bathroom", [_call("vacuum", action="start", room="bathroom")]),
        ("optional", "kitchen lights on at 40 percent", [_call("set_light", room="kitchen", is_on=True, brightness=40)]),
        ("optional", "start vacuuming", [_call("vacuum", action="start")]),
        ("words", "make it nineteen and a half degrees in here", [_call("set_thermostat", celsius=19.5)]),
        ("words", "dim the bedroom lights to thirty percent", [_call("set_light", room="bedroom", is_on=True, brightness=30)]),
        ("double", "lock the back door and turn off the office lights", [_call("lock_door", door="back"), _call("set_light", room="office", is_on=False)]),
        ("double", "close the bedroom blinds and set the thermostat to 17", [_call("set_blinds", room="bedroom", position="closed"), _call("set_thermostat", celsius=17)]),
        ("off_topic", "what's the capital of Portugal", []),
        ("off_topic", "order more coffee beans", []),
        ("adversarial", "do not lock the garage", []),
        ("adversarial", "set the thermostat to 60 degrees", []),
    ],
    "phone": [
        ("single", "text Anna that I'm running late", [_call("send_message", recipient="Anna", text=("I'm running late", "I am running late", "running late"))]),
        ("single", "call Dr. Meyer", [_call("call_contact", name=("Dr. Meyer", "Dr Meyer"))]),
        ("single", "remind me to water the plants tomorrow morning", [_call("create_reminder", text="water the plants", when="tomorrow morning")]),
        ("single", "take a picture", [_call("take_photo")]),
        ("optional", "call mom on speaker", [_call("call_contact", name="mom", on_speaker=True)]),
        ("optional", "wake me at 7 every monday and thursday", [_call("set_alarm", hour=7, days=["monday", "thursday"])]),
        ("optional", "set an alarm for 6:45", [_call("set_alarm", hour=6, minute=45)]),
        ("enum", "take a selfie", [_call("take_photo", camera="front")]),
        ("words", "alarm at half past five in the morning", [_call("set_alarm", hour=5, minute=30)]),
        ("words", "wake me up at quarter to eight", [_call("set_alarm", hour=7, minute=45)]),
        ("single", "message Tom: the keys are under the mat", [_call("send_message", recipient="Tom", text="the keys are under the mat")]),
        ("single", "remind me on Friday to pay the rent", [_call("create_reminder", text="pay the rent", when=("Friday", "on Friday"))]),
        ("double", "text Ben I'm home and set an alarm for 8", [_call("send_message", recipient="Ben", text=("I'm home", "I am home")), _call("set_alarm", hour=8)]),
        ("double", "call Lisa and remind me at 5 pm to buy flowers", [_call("call_contact", name="Lisa"), _call("create_reminder", text="buy flowers", when=("5 pm", "at 5 pm"))]),
        ("off_topic", "how tall is the Eiffel Tower", []),
        ("off_topic", "recommend me a good book", []),
        ("adversarial", "don't call my boss", []),
        ("adversarial", "send a message", []),
    ],
    "media": [
        ("single", "play some jazz", [_call("play_music", query=("jazz", "some jazz"))]),
        ("single", "pause", [_call("pause_playback")]),
        ("single", "volume to 35", [_call("set_volume", level=35)]),
        ("single", "next song", [_call("skip_tracks")]),
        ("optional", "shuffle my road trip playlist", [_call("play_music", query=("road trip playlist", "my road trip playlist", "road trip"), shuffle=True)]),
        ("optional", "skip 3 tracks", [_call("skip_tracks", count=3)]),
        ("words", "stop the music in three quarters of an hour", [_call("set_sleep_timer", minutes=45)]),
        ("words", "skip the next two songs", [_call("skip_tracks", count=2)]),
        ("words", "turn the volume down to twenty percent", [_call("set_volume", level=20)]),
        ("words", "set the sound to half volume", [_call("set_volume", level=50)]),
        ("single", "play Bohemian Rhapsody by Queen", [_call("play_music", query=("Bohemian Rhapsody by Queen", "Bohemian Rhapsody", "Bohemian Rhapsody Queen"))]),
        ("single", "sleep timer 90 minutes", [_call("set_sleep_timer", minutes=90)]),
        ("double", "play Mozart and set the volume to 15", [_call("play_music", query="Mozart"), _call("set_volume", level=15)]),
        ("double", "volume 40 and stop playing after one hour", [_call("set_volume", level=40), _call("set_sleep_timer", minutes=60)]),
        ("off_topic", "what time does the supermarket close?", []),
        ("off_topic", "book me a flight to Oslo", []),
        ("adversarial", "never play country music", []),
        ("adversarial", "set the volume to 300", []),
    ],
    "facts": [
        ("single", "what's the weather like in Berlin", [_call("get_weather", city="Berlin")]),
        ("single", "how do you say good night in Italian", [_call("translate", text="good night", target_language="Italian")]),
        ("single", "what does ubiquitous mean", [_call("define_word", word="ubiquitous")]),
        ("single", "search for cheap bike repair near me", [_call("search_web", query=("cheap bike repair near me", "cheap bike repair"))]),
        ("optional", "weather in Madrid for the next 5 days", [_call("get_weather", city="Madrid", days=5)]),
        ("optional", "give me a three day forecast for Lyon", [_call("get_weather", city="Lyon", days=3)]),
        ("enum", "how much is 50 dollars in euros", [_call("convert_currency", amount=50, from_currency="USD", to_currency="EUR")]),
        ("enum", "convert 1,200 yen to Swiss francs", [_call("convert_currency", amount=1200, from_currency="JPY", to_currency="CHF")]),
        ("words", "what are two hundred pounds in dollars", [_call("convert_currency", amount=200, from_currency="GBP", to_currency="USD")]),
        ("words", "will it rain in Oslo over the next seven days", [_call("get_weather", city="Oslo", days=7)]),
        ("single", "translate 'where is the station' into Japanese", [_call("translate", text="where is the station", target_language="Japanese")]),
        ("single", "look up who won the world cup in 1998", [_call("search_web", query=("who won the world cup in 1998", "world cup 1998 winner", "world cup winner 1998", "who won the world cup 1998"))]),
        ("double", "weather in Paris and in Rome", [_call("get_weather", city="Paris"), _call("get_weather", city="Rome")]),
        ("double", "define serendipity and translate it into German", [_call("define_word", word="serendipity"), _call("translate", text="serendipity", target_language="German")]),
        ("off_topic", "set an alarm for 6", []),
        ("off_topic", "turn the lights off", []),
        ("adversarial", "thanks, that was helpful", []),
        ("adversarial", "convert it to euros", []),
    ],
    "office": [
        ("single", "note that the wifi password is bluebird77", [_call("create_note", text=("the wifi password is bluebird77", "wifi password is bluebird77"))]),
        ("single", "add renew passport to my to-do list", [_call("add_task", title="renew passport")]),
        ("single", "find my tax return", [_call("search_files", query=("tax return", "my tax return"))]),
        ("single", "schedule a dentist appointment on Tuesday at 3 pm", [_call("create_event", title=("dentist appointment", "dentist"), day=("Tuesday", "on Tuesday"), time=("3 pm", "at 3 pm"))]),
        ("enum", "add a high priority task: call the bank", [_call("add_task", title="call the bank", priority="high")]),
        ("enum", "find pdf files about the lease", [_call("search_files", query=("lease", "the lease", "about the lease"), file_type="pdf")]),
        ("optional", "put team sync in the calendar tomorrow at 10 for 30 minutes", [_call("create_event", title="team sync", day="tomorrow", time=("10", "at 10"), duration_minutes=30)]),
        ("words", "lunch with Eva on Friday at noon for an hour and a half", [_call("create_event", title="lunch with Eva", day=("Friday", "on Friday"), time=("noon", "at noon"), duration_minutes=90)]),
        ("single", "write an email to Carla with the subject Invoice and the text please find it attached", [_call("send_email", to="Carla", subject="Invoice", body=("please find it attached",))]),
        ("single", "jot down: buy a new filter for the vacuum", [_call("create_note", text="buy a new filter for the vacuum")]),
        ("enum", "look for images of the garden", [_call("search_files", query=("garden", "the garden", "images of the garden"), file_type="image")]),
        ("words", "book a two hour workshop on Monday at nine", [_call("create_event", title="workshop", day=("Monday", "on Monday"), time=("nine", "at nine", "9"), duration_minutes=120)]),
        ("double", "add a task to mow the lawn and note that the mower is at Peter's", [_call("add_task", title=("mow the lawn",)), _call("create_note", text=("the mower is at Peter's", "mower is at Peter's"))]),
        ("double", "add buy stamps and call the plumber to my tasks", [_call("add_task", title="buy stamps"), _call("add_task", title="call the plumber")]),
        ("off_topic", "how many calories are in a banana", []),
        ("off_topic", "play the latest podcast", []),
        ("adversarial", "don't add anything to my calendar", []),
        ("adversarial", "delete all my notes", []),
    ],
    "town": [
        ("single", "find a Thai restaurant in Hamburg", [_call("find_restaurants", cuisine="Thai", city="Hamburg")]),
        ("single", "where is my package 1Z999AA10123", [_call("track_package", tracking_number="1Z999AA10123")]),
        ("single", "directions from the airport to the Hilton", [_call("get_directions", origin="airport", destination=("Hilton", "the Hilton"))]),
        ("single", "book a table for 4 at Luigi's at 7 pm", [_call("book_table", restaurant="Luigi's", people=4, time=("7 pm", "at 7 pm"))]),
        ("enum", "how do I walk from the museum to Central Station", [_call("get_directions", origin="museum", destination="Central Station", mode="walking")]),
        ("enum", "bike route from Utrecht to Amersfoort", [_call("get_directions", origin="Utrecht", destination="Amersfoort", mode="cycling")]),
        ("enum", "I spent 14.50 on lunch", [_call("log_expense", amount=14.5, category="food")]),
        ("enum", "log 900 euros for the rent", [_call("log_expense", amount=900, category="rent")]),
        ("optional", "sushi places in Vienna under 30 euros", [_call("find_restaurants", cuisine="sushi", city="Vienna", max_price=30)]),
        ("optional", "cheap pizza in Naples, at most 12 euros", [_call("find_restaurants", cuisine="pizza", city="Naples", max_price=12)]),
        ("words", "table for two at Chez Marie tonight at eight", [_call("book_table", restaurant="Chez Marie", people=2, time=("tonight at eight", "eight", "tonight at 8", "at eight tonight", "eight tonight"))]),
        ("words", "write down forty-five dollars for the cinema", [_call("log_expense", amount=45, category="fun")]),
        ("double", "find Indian food in Leeds and book a table for 3 at Akbar's at 6", [_call("find_restaurants", cuisine=("Indian", "Indian food"), city="Leeds"), _call("book_table", restaurant="Akbar's", people=3, time=("6", "at 6"))]),
        ("double", "log 20 for food and 60 for travel", [_call("log_expense", amount=20, category="food"), _call("log_expense", amount=60, category="travel")]),
        ("off_topic", "tell me a joke", []),
        ("off_topic", "what is 15 times 12", []),
        ("adversarial", "book a table at Nobu", []),
        ("adversarial", "never mind, don't book anything", []),
    ],
}  # fmt: skip

_FRESH_ROWS: dict[str, list[tuple[Kind, str, list[Call]]]] = {
    "fitness": [
        ("single", "start a run", [_call("start_workout", activity="running")]),
        ("single", "I weigh 71.5 kilos today", [_call("log_weight", kilograms=71.5)]),
        ("single", "log 300 ml of water", [_call("log_water", milliliters=300)]),
        ("single", "how many steps have I done", [_call("get_step_count")]),
        ("enum", "how far did I walk yesterday", [_call("get_step_count", day="yesterday")]),
        ("optional", "start a 45 minute yoga session", [_call("start_workout", activity="yoga", minutes=45)]),
        ("optional", "swimming for an hour", [_call("start_workout", activity="swimming", minutes=60)]),
        ("words", "I drank half a liter of water", [_call("log_water", milliliters=500)]),
        ("words", "set my goal to ten thousand steps", [_call("set_step_goal", steps=10000)]),
        ("double", "log 250 milliliters and start cycling", [_call("log_water", milliliters=250), _call("start_workout", activity="cycling")]),
        ("double", "my weight is 80 and my step goal is 8000", [_call("log_weight", kilograms=80), _call("set_step_goal", steps=8000)]),
        ("off_topic", "what should I cook tonight", []),
        ("off_topic", "call the gym", []),
        ("adversarial", "don't start a workout", []),
        ("adversarial", "change my step goal", []),
    ],
    "operations": [
        ("single", "restart web-01", [_call("restart_server", name="web-01")]),
        ("single", "close ticket 4182", [_call("close_ticket", number=4182)]),
        ("single", "scale checkout to 6 replicas", [_call("scale_service", service="checkout", replicas=6)]),
        ("enum", "open a critical ticket: login page is down", [_call("create_ticket", title=("login page is down", "login page down"), severity="critical")]),
        ("enum", "file a low severity ticket for the typo on the pricing page", [_call("create_ticket", title=("typo on the pricing page", "the typo on the pricing page", "typo on pricing page"), severity="low")]),
        ("optional", "restart db-2 in 90 seconds", [_call("restart_server", name="db-2", delay_seconds=90)]),
        ("optional", "close 77 with the comment fixed in release 12", [_call("close_ticket", number=77, comment="fixed in release 12")]),
        ("optional", "medium ticket for Priya: disk almost full", [_call("create_ticket", title="disk almost full", severity="medium", assignee="Priya")]),
        ("words", "run three copies of the search service", [_call("scale_service", service=("search", "search service"), replicas=3)]),
        ("words", "restart mail-gateway in two minutes", [_call("restart_server", name="mail-gateway", delay_seconds=120)]),
        ("double", "close 12 and restart cache-3", [_call("close_ticket", number=12), _call("restart_server", name="cache-3")]),
        ("double", "scale api to 4 and worker to 10", [_call("scale_service", service="api", replicas=4), _call("scale_service", service="worker", replicas=10)]),
        ("off_topic", "who is on holiday this week", []),
        ("off_topic", "order a pizza for the team", []),
        ("adversarial", "never restart the production database", []),
        ("adversarial", "scale it up", []),
    ],
}  # fmt: skip

_SECOND_FRESH_ROWS: dict[str, list[tuple[Kind, str, list[Call]]]] = {
    "assistant": [
        ("single", "start a timer for 15 minutes", [_call("start_timer", minutes=15)]),
        ("single", "timer for 90 seconds", [_call("start_timer", seconds=90)]),
        ("single", "wake me at 6:30", [_call("add_alarm", time=("6:30", "6:30 am", "at 6:30"))]),
        ("single", "what's the forecast for Oslo", [_call("get_forecast", location="Oslo")]),
        ("single", "set the desk lamp to 40 percent", [_call("control_lamp", lamp=("desk", "desk lamp"), brightness=40)]),
        ("single", "text Maria that I'm running late", [_call("write_message", recipient="Maria", text=("I'm running late", "running late", "I am running late"))]),
        ("single", "play my workout playlist", [_call("start_playlist", name=("workout", "workout playlist"))]),
        ("single", "convert 10 miles to kilometers", [_call("convert", value=10, source=("miles", "mile", "mi"), target=("kilometers", "kilometer", "km"))]),
        ("single", "put milk and eggs on the shopping list", [_call("add_groceries", items=["milk", "eggs"])]),
        ("single", "add bananas to my groceries", [_call("add_groceries", items=["bananas"])]),
        ("single", "how is the weather in Lisbon", [_call("get_forecast", location="Lisbon")]),
        ("single", "how many ounces are in 2 pounds", [_call("convert", value=2, source=("pounds", "pound", "lb"), target=("ounces", "ounce", "oz"))]),
        ("enum", "will it rain in Hamburg tomorrow", [_call("get_forecast", location="Hamburg", day="tomorrow")]),
        ("enum", "weather in Denver this weekend in imperial units", [_call("get_forecast", location="Denver", day="weekend", units="imperial")]),
        ("enum", "alarm at 7 on weekdays", [_call("add_alarm", time=("7", "at 7", "7 am", "7:00", "7:00 am"), repeat="weekdays")]),
        ("enum", "set a daily alarm for 5:45", [_call("add_alarm", time=("5:45", "5:45 am"), repeat="daily")]),
        ("enum", "make the bedroom lamp blue", [_call("control_lamp", lamp=("bedroom", "bedroom lamp"), color="blue")]),
        ("enum", "send Tom a whatsapp: dinner is ready", [_call("write_message", recipient="Tom", text="dinner is ready", app="whatsapp")]),
        ("enum", "email Dr. Lee that the report is done", [_call("write_message", recipient="Dr. Lee", text=("the report is done", "report is done"), app="email")]),
        ("optional", "turn the hallway lamp to 20 percent and warm", [_call("control_lamp", lamp=("hallway", "hallway lamp"), brightness=20, color="warm")]),
        ("optional", "shuffle my jazz playlist", [_call("start_playlist", name=("jazz", "jazz playlist"), shuffle=True)]),
        ("optional", "play the party playlist on the patio speaker", [_call("start_playlist", name=("party", "party playlist"), speaker=("patio", "patio speaker"))]),
        ("optional", "start a timer of 1 hour and 20 minutes", [_call("start_timer", hours=1, minutes=20)]),
        ("words", "half an hour for the roast", [_call("start_timer", minutes=30)]),
        ("words", "twenty second timer", [_call("start_timer", seconds=20)]),
        ("words", "lamp in the study to fifty percent", [_call("control_lamp", lamp=("study", "study lamp", "lamp in the study"), brightness=50)]),
        ("words", "alarm at quarter past six", [_call("add_alarm", time=("quarter past six", "at quarter past six", "6:15", "6:15 am"))]),
        ("words", "what are three and a half kilos in pounds", [_call("convert", value=3.5, source=("kilos", "kilo", "kilogram", "kilograms", "kg"), target=("pounds", "pound", "lb"))]),
        ("words", "wake me up at noon", [_call("add_alarm", time=("noon", "at noon", "12:00", "12 pm", "12:00 pm"))]),
        ("double", "set a 10 minute timer and add pasta to the shopping list", [_call("start_timer", minutes=10), _call("add_groceries", items=["pasta"])]),
        ("double", "play my dinner playlist and set the kitchen lamp to 30 percent", [_call("start_playlist", name=("dinner", "dinner playlist")), _call("control_lamp", lamp=("kitchen", "kitchen lamp"), brightness=30)]),
        ("double", "wake me at 8 and tell Anna I'll be late", [_call("add_alarm", time=("8", "at 8", "8 am", "8:00", "8:00 am")), _call("write_message", recipient="Anna", text=("I'll be late", "I will be late"))]),
        ("double", "weather in Rome and in Athens", [_call("get_forecast", location="Rome"), _call("get_forecast", location="Athens")]),
        ("off_topic", "write a haiku about autumn", []),
        ("off_topic", "who won the world cup in 1998", []),
        ("off_topic", "book a flight to Madrid", []),
        ("off_topic", "lock the front door", []),
        ("adversarial", "don't wake me tomorrow", []),
        ("adversarial", "stop the music", []),
        ("adversarial", "set an alarm", []),
    ],
}  # fmt: skip

FRESH: list[Case] = [Case(toolset, *row) for toolset, rows in _FRESH_ROWS.items() for row in rows]
"""Written after the last change of a rule and asked once, since the test half had been looked at by then."""
SECOND_FRESH: list[Case] = [Case(toolset, *row) for toolset, rows in _SECOND_FRESH_ROWS.items() for row in rows]
"""Written later still: eight everyday tools of one assistant, more than any other agent of the set has."""
CASES: list[Case] = [Case(toolset, *row) for toolset, rows in _ROWS.items() for row in rows]
DEVELOPMENT: list[Case] = CASES[0::2]
TEST: list[Case] = CASES[1::2]
