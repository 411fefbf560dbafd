"""The tools of the evaluation set, in the groups in which an agent would have them. None of them does anything."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from limpet import tool
from limpet.schema import Field
from limpet.tools import Tool

Room = Literal["kitchen", "living_room", "bedroom", "bathroom", "office"]
Unit = Literal["gram", "kilogram", "ounce", "pound", "milliliter", "liter", "cup", "tablespoon", "teaspoon"]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Percent = Annotated[int, Field(ge=0, le=100)]


@tool
def set_timer(minutes: int, label: str = "") -> None:
    """Set a kitchen timer.

    Args:
        minutes: How long, in minutes.
        label: What it is for.
    """


@tool
def cancel_timer(label: str) -> None:
    """Cancel a running kitchen timer.

    Args:
        label: Which timer, by what it is for.
    """


@tool
def set_oven(celsius: Annotated[int, Field(ge=30, le=280)], mode: Literal["fan", "grill", "bake"] = "bake") -> None:
    """Heat the oven to a temperature.

    Args:
        celsius: The temperature in degrees Celsius.
        mode: How the oven heats.
    """


@tool
def add_to_shopping_list(item: str, quantity: int = 1) -> None:
    """Add an item to the shopping list.

    Args:
        item: What to buy.
        quantity: How many.
    """


@tool
def convert_units(amount: float, from_unit: Unit, to_unit: Unit) -> None:
    """Convert an amount from one unit to another.

    Args:
        amount: How much.
        from_unit: The unit of the amount.
        to_unit: The unit to convert to.
    """


@tool
def set_light(room: Room, is_on: bool, brightness: Percent | None = None) -> None:
    """Switch the lights of a room on or off.

    Args:
        room: Which room.
        is_on: Whether the lights shall be on.
        brightness: Brightness in percent.
    """


@tool
def set_thermostat(celsius: Annotated[float, Field(ge=5, le=30)]) -> None:
    """Set the temperature that the heating keeps.

    Args:
        celsius: Degrees Celsius.
    """


@tool
def lock_door(door: Literal["front", "back", "garage"]) -> None:
    """Lock a door of the house.

    Args:
        door: Which door.
    """


@tool
def set_blinds(room: Room, position: Literal["open", "half", "closed"]) -> None:
    """Move the blinds of a room.

    Args:
        room: Which room.
        position: Where to move them.
    """


@tool
def vacuum(action: Literal["start", "stop", "dock"], room: Room | None = None) -> None:
    """Control the robot vacuum cleaner.

    Args:
        action: What it shall do.
        room: The room to clean; all of them if it isn't given.
    """


@tool
def send_message(recipient: str, text: str) -> None:
    """Send a text message to a contact.

    Args:
        recipient: Name of the contact.
        text: What to write.
    """


@tool
def call_contact(name: str, on_speaker: bool = False) -> None:
    """Call somebody on the phone.

    Args:
        name: Name of the contact.
        on_speaker: Whether to use the loudspeaker.
    """


@tool
def set_alarm(
    hour: Annotated[int, Field(ge=0, le=23)],
    minute: Annotated[int, Field(ge=0, le=59)] = 0,
    days: tuple[Weekday, ...] = (),
) -> None:
    """Set an alarm clock.

    Args:
        hour: Hour of the day, 0 to 23.
        minute: Minute of the hour.
        days: The days on which it repeats; none for a single alarm.
    """


@tool
def create_reminder(text: str, when: str) -> None:
    """Remind the user of something.

    Args:
        text: What to remind of.
        when: The day or time, in the user's words.
    """


@tool
def take_photo(camera: Literal["front", "back"] = "back") -> None:
    """Take a photo.

    Args:
        camera: Which camera.
    """


@tool
def play_music(query: str, shuffle: bool = False) -> None:
    """Play music: a song, an artist, an album or a genre.

    Args:
        query: What to play.
        shuffle: Whether to play in random order.
    """


@tool
def set_volume(level: Percent) -> None:
    """Set the volume.

    Args:
        level: Volume in percent.
    """


@tool
def pause_playback() -> None:
    """Pause what is playing."""


@tool
def skip_tracks(count: Annotated[int, Field(ge=1, le=20)] = 1) -> None:
    """Skip forward to a later track.

    Args:
        count: How many tracks to skip.
    """


@tool
def set_sleep_timer(minutes: Annotated[int, Field(ge=1, le=240)]) -> None:
    """Stop the music after some time.

    Args:
        minutes: After how many minutes.
    """


@tool
def get_weather(city: str, days: Annotated[int, Field(ge=1, le=10)] = 1) -> None:
    """Get the weather forecast for a city.

    Args:
        city: Name of the city.
        days: How many days ahead.
    """


@tool
def translate(text: str, target_language: str) -> None:
    """Translate a text into another language.

    Args:
        text: What to translate.
        target_language: The language to translate into, in English.
    """


@tool
def search_web(query: str) -> None:
    """Search the web.

    Args:
        query: What to search for.
    """


@tool
def convert_currency(
    amount: float,
    from_currency: Literal["USD", "EUR", "GBP", "JPY", "CHF"],
    to_currency: Literal["USD", "EUR", "GBP", "JPY", "CHF"],
) -> None:
    """Convert an amount of money into another currency.

    Args:
        amount: How much money.
        from_currency: The currency of the amount.
        to_currency: The currency to convert to.
    """


@tool
def define_word(word: str) -> None:
    """Look a word up in the dictionary.

    Args:
        word: The word.
    """


@tool
def create_event(title: str, day: str, time: str, duration_minutes: int = 60) -> None:
    """Put an event into the calendar.

    Args:
        title: What the event is.
        day: The day, in the user's words.
        time: When it begins, in the user's words.
        duration_minutes: How long it lasts, in minutes.
    """


@tool
def create_note(text: str) -> None:
    """Save a note.

    Args:
        text: The text of the note.
    """


@tool
def add_task(title: str, priority: Literal["low", "normal", "high"] = "normal") -> None:
    """Add a task to the to-do list.

    Args:
        title: What is to be done.
        priority: How urgent it is.
    """


@tool
def send_email(to: str, subject: str, body: str) -> None:
    """Send an e-mail.

    Args:
        to: Who gets it.
        subject: The subject line.
        body: The text of the mail.
    """


@tool
def search_files(query: str, file_type: Literal["any", "pdf", "image", "spreadsheet"] = "any") -> None:
    """Search the user's files.

    Args:
        query: What to search for.
        file_type: Which kind of files.
    """


@tool
def find_restaurants(cuisine: str, city: str, max_price: int | None = None) -> None:
    """Find restaurants in a city.

    Args:
        cuisine: The kind of food.
        city: Name of the city.
        max_price: The most that a meal may cost.
    """


@tool
def get_directions(
    origin: str, destination: str, mode: Literal["driving", "walking", "cycling", "transit"] = "driving"
) -> None:
    """Get directions from one place to another.

    Args:
        origin: Where the way begins.
        destination: Where it ends.
        mode: How to travel.
    """


@tool
def book_table(restaurant: str, people: Annotated[int, Field(ge=1, le=20)], time: str) -> None:
    """Book a table at a restaurant.

    Args:
        restaurant: Name of the restaurant.
        people: For how many people.
        time: When, in the user's words.
    """


@tool
def track_package(tracking_number: str) -> None:
    """Find out where a package is.

    Args:
        tracking_number: The number of the shipment.
    """


@tool
def log_expense(amount: float, category: Literal["food", "travel", "rent", "fun", "other"]) -> None:
    """Write down what was spent.

    Args:
        amount: How much was spent.
        category: What it was spent on.
    """


@tool
def start_workout(
    activity: Literal["running", "cycling", "swimming", "yoga"],
    minutes: Annotated[int, Field(ge=1, le=300)] | None = None,
) -> None:
    """Start recording a workout.

    Args:
        activity: The kind of workout.
        minutes: How long it shall last, in minutes.
    """


@tool
def log_water(milliliters: Annotated[int, Field(ge=1, le=5000)]) -> None:
    """Record how much was drunk.

    Args:
        milliliters: How much, in milliliters.
    """


@tool
def log_weight(kilograms: float) -> None:
    """Record the body weight.

    Args:
        kilograms: The weight in kilograms.
    """


@tool
def get_step_count(day: Literal["today", "yesterday"] = "today") -> None:
    """Tell how many steps were walked.

    Args:
        day: Which day.
    """


@tool
def set_step_goal(steps: Annotated[int, Field(ge=100, le=100000)]) -> None:
    """Set how many steps shall be walked in a day.

    Args:
        steps: The number of steps.
    """


@tool
def create_ticket(title: str, severity: Literal["low", "medium", "critical"], assignee: str = "") -> None:
    """Open a ticket in the issue tracker.

    Args:
        title: What is wrong.
        severity: How bad it is.
        assignee: Who shall look after it.
    """


@tool
def close_ticket(number: int, comment: str = "") -> None:
    """Close a ticket.

    Args:
        number: The ticket's number.
        comment: What to write into it.
    """


@tool
def restart_server(name: str, delay_seconds: Annotated[int, Field(ge=0, le=3600)] = 0) -> None:
    """Restart a server.

    Args:
        name: Name of the server.
        delay_seconds: How long to wait before.
    """


@tool
def scale_service(service: str, replicas: Annotated[int, Field(ge=0, le=50)]) -> None:
    """Set how many copies of a service run.

    Args:
        service: Name of the service.
        replicas: How many copies.
    """


@tool
def start_timer(
    hours: Annotated[int, Field(ge=0, le=24)] = 0,
    minutes: Annotated[int, Field(ge=0, le=600)] = 0,
    seconds: Annotated[int, Field(ge=0, le=3600)] = 0,
) -> None:
    """Start a timer.

    Args:
        hours: Hours to wait.
        minutes: Minutes to wait.
        seconds: Seconds to wait.
    """


@tool
def add_alarm(time: str, repeat: Literal["once", "daily", "weekdays", "weekends"] = "once") -> None:
    """Set an alarm that wakes the user.

    Args:
        time: When it rings, as the user said it.
        repeat: How often it rings.
    """


@tool
def get_forecast(
    location: str,
    day: Literal["today", "tomorrow", "weekend"] = "today",
    units: Literal["metric", "imperial"] = "metric",
) -> None:
    """Get the weather forecast.

    Args:
        location: City or place.
        day: Which day.
        units: Metric or imperial units.
    """


@tool
def control_lamp(
    lamp: str,
    brightness: Percent | None = None,
    color: Literal["warm", "cold", "red", "green", "blue"] | None = None,
) -> None:
    """Change the brightness or the color of a lamp.

    Args:
        lamp: Which lamp.
        brightness: Brightness in percent.
        color: The color of the light.
    """


@tool
def write_message(recipient: str, text: str, app: Literal["sms", "whatsapp", "email"] = "sms") -> None:
    """Write somebody a message.

    Args:
        recipient: Who gets it.
        text: What it says.
        app: How it is sent.
    """


@tool
def start_playlist(name: str, shuffle: bool = False, speaker: str = "") -> None:
    """Play one of the user's playlists.

    Args:
        name: The name of the playlist.
        shuffle: Whether the order is random.
        speaker: Where it plays.
    """


@tool
def convert(value: float, source: str, target: str) -> None:
    """Convert a value from one unit to another.

    Args:
        value: The value to convert.
        source: The unit it has.
        target: The unit it shall have.
    """


@tool
def add_groceries(items: list[str]) -> None:
    """Add groceries to the shopping list.

    Args:
        items: What to buy.
    """


@tool
def lock_car(car: Literal["mine", "family"] = "mine") -> None:
    """Lock the doors of a car.

    Args:
        car: Which car.
    """


@tool
def set_climate(temperature: Annotated[int, Field(ge=16, le=28)], seat_heating: bool = False) -> None:
    """Set the climate in the car.

    Args:
        temperature: Temperature in degrees Celsius.
        seat_heating: Whether the seats are heated.
    """


@tool
def start_charging(limit: Percent = 80) -> None:
    """Start charging the car.

    Args:
        limit: Charge in percent at which it stops.
    """


@tool
def navigate_to(destination: str, avoid: Literal["tolls", "highways", "ferries"] | None = None) -> None:
    """Start navigation in the car.

    Args:
        destination: Where to go.
        avoid: What to keep off the route.
    """


@tool
def find_charger(kilowatts: int = 50, radius_km: int = 10) -> None:
    """Find charging stations nearby.

    Args:
        kilowatts: The least power of the station.
        radius_km: How far away it may be, in kilometers.
    """


@tool
def transfer_money(recipient: str, amount: float, note: str = "") -> None:
    """Transfer money to somebody.

    Args:
        recipient: Who gets the money.
        amount: How much, in euros.
        note: The reference of the transfer.
    """


@tool
def get_balance(account: Literal["checking", "savings", "credit_card"] = "checking") -> None:
    """Get the balance of an account.

    Args:
        account: Which account.
    """


@tool
def freeze_card(card: Literal["debit", "credit"]) -> None:
    """Block a card until it is unblocked again.

    Args:
        card: Which card.
    """


@tool
def list_transactions(days: int = 30, category: Literal["food", "travel", "rent", "shopping"] | None = None) -> None:
    """List the latest transactions.

    Args:
        days: How many days to look back.
        category: Only those of this kind.
    """


@tool
def split_bill(total: float, people: int) -> None:
    """Split a bill among people.

    Args:
        total: The amount to be split, in euros.
        people: Among how many people.
    """


@tool
def search_books(title: str = "", author: str = "") -> None:
    """Search the library's catalogue.

    Args:
        title: Words of the title.
        author: The author's name.
    """


@tool
def reserve_book(title: str, branch: Literal["central", "north", "harbour"] = "central") -> None:
    """Reserve a book at the library.

    Args:
        title: The title of the book.
        branch: Where it will be picked up.
    """


@tool
def renew_loans(weeks: Annotated[int, Field(ge=1, le=4)] = 2) -> None:
    """Renew all borrowed books.

    Args:
        weeks: For how many weeks.
    """


@tool
def get_opening_hours(branch: Literal["central", "north", "harbour"], day: Weekday | None = None) -> None:
    """Get the opening hours of a branch of the library.

    Args:
        branch: Which branch.
        day: Which day of the week.
    """


@tool
def book_room(people: int, start: str, hours: float = 1) -> None:
    """Book a study room in the library.

    Args:
        people: For how many people.
        start: When it begins.
        hours: For how many hours.
    """


@tool
def water_plants(zone: Literal["front", "back", "greenhouse"], minutes: int = 10) -> None:
    """Water a zone of the garden.

    Args:
        zone: Which zone.
        minutes: For how many minutes.
    """


@tool
def mow_lawn(height_cm: Annotated[float, Field(ge=2, le=8)] = 4) -> None:
    """Send the robot to mow the lawn.

    Args:
        height_cm: How high the grass stays, in centimeters.
    """


@tool
def get_soil_moisture(zone: Literal["front", "back", "greenhouse"]) -> None:
    """Read the soil's moisture.

    Args:
        zone: Which zone of the garden.
    """


@tool
def plan_planting(plant: str, month: str, count: int = 1) -> None:
    """Note in the garden plan what is to be planted.

    Args:
        plant: What is planted.
        month: In which month.
        count: How many.
    """


@tool
def set_pond_pump(is_on: bool) -> None:
    """Switch the pump of the pond.

    Args:
        is_on: On or off.
    """


@tool
def take_photo_of(subject: str, flash: bool = False, camera: Literal["drone", "door", "phone"] = "phone") -> None:
    """Take a picture of something.

    Args:
        subject: What the picture shows.
        flash: Whether the flash is used.
        camera: Which camera takes it.
    """


@tool
def fly_to_height(meters: Annotated[int, Field(ge=1, le=120)]) -> None:
    """Fly the drone to a height above the ground.

    Args:
        meters: Height in meters.
    """


@tool
def land_drone(spot: Literal["home", "here"] = "home") -> None:
    """Land the drone.

    Args:
        spot: Where it lands.
    """


@tool
def check_battery(device: Literal["drone", "remote", "camera"]) -> None:
    """Check how much battery a device has left.

    Args:
        device: Which device.
    """


@tool
def order_meal(dish: str, portions: int = 1, spicy: Literal["mild", "medium", "hot"] | None = None) -> None:
    """Order a dish from the canteen.

    Args:
        dish: The name of the dish.
        portions: How many portions.
        spicy: How hot it is.
    """


@tool
def track_order(order_number: int) -> None:
    """Say where an order is.

    Args:
        order_number: The number of the order.
    """


@tool
def rate_meal(dish: str, stars: Annotated[int, Field(ge=1, le=5)]) -> None:
    """Rate a dish.

    Args:
        dish: The name of the dish.
        stars: From 1 to 5 stars.
    """


@tool
def show_menu(day: Weekday | None = None, diet: Literal["vegan", "vegetarian", "halal"] | None = None) -> None:
    """Show the canteen's menu.

    Args:
        day: Which day of the week.
        diet: Only dishes of this diet.
    """


@tool
def tip_staff(amount: float) -> None:
    """Give the staff a tip.

    Args:
        amount: How much, in euros.
    """


@tool
def dose_medicine(medicine: str, milligrams: float, times_a_day: int = 1) -> None:
    """Write down a medicine that the patient takes.

    Args:
        medicine: Name of the medicine.
        milligrams: The dose in milligrams.
        times_a_day: How often a day.
    """


@tool
def measure_pulse(arm: Literal["left", "right"] = "left") -> None:
    """Measure the patient's pulse with the cuff.

    Args:
        arm: At which arm.
    """


@tool
def record_temperature(celsius: Annotated[float, Field(ge=30, le=44)]) -> None:
    """Record the patient's body temperature.

    Args:
        celsius: Temperature in degrees Celsius.
    """


@tool
def book_appointment(doctor: str, day: str, reason: str = "") -> None:
    """Book an appointment with a doctor.

    Args:
        doctor: Name of the doctor.
        day: On which day.
        reason: Why.
    """


@tool
def notify_relative(name: str, message: str = "") -> None:
    """Notify a relative of the patient.

    Args:
        name: Who is notified.
        message: What they are told.
    """


TOOLSETS: dict[str, list[Tool[Any, Any]]] = {
    "kitchen": [set_timer, cancel_timer, set_oven, add_to_shopping_list, convert_units],
    "home": [set_light, set_thermostat, lock_door, set_blinds, vacuum],
    "phone": [send_message, call_contact, set_alarm, create_reminder, take_photo],
    "media": [play_music, set_volume, pause_playback, skip_tracks, set_sleep_timer],
    "facts": [get_weather, translate, search_web, convert_currency, define_word],
    "office": [create_event, create_note, add_task, send_email, search_files],
    "fitness": [start_workout, log_water, log_weight, get_step_count, set_step_goal],
    "operations": [create_ticket, close_ticket, restart_server, scale_service],
    "town": [find_restaurants, get_directions, book_table, track_package, log_expense],
    "assistant": [
        *(start_timer, add_alarm, get_forecast, control_lamp),
        *(write_message, start_playlist, convert, add_groceries),
    ],
    "car": [lock_car, set_climate, start_charging, navigate_to, find_charger],
    "bank": [transfer_money, get_balance, freeze_card, list_transactions, split_bill],
    "library": [search_books, reserve_book, renew_loans, get_opening_hours, book_room],
    "drone": [take_photo_of, fly_to_height, land_drone, check_battery],
    "canteen": [order_meal, track_order, rate_meal, show_menu, tip_staff],
    "ward": [dose_medicine, measure_pulse, record_temperature, book_appointment, notify_relative],
    "garden": [water_plants, mow_lawn, get_soil_moisture, plan_planting, set_pond_pump],
}
